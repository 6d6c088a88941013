package ArmorIQ;

# The harness of the nginx tests, in core Perl.
#
#     my $t = ArmorIQ->new(ports => 2);       # or skips: nothing was built
#     my $key = $t->init_store();             # org example, server infra-mcp
#     $t->upstream();                         # an MCP server that counts
#     $t->run($conf);                         # what belongs into http {}
#     like(http($t->port(0), '/health'), qr/ 200 /, 'health');
#     $t->done_testing();                     # two tests more: no alerts, no
#                                             # sanitizer errors
#
# %%PORT0%%, %%DIR%%, %%UPSTREAM%% (address of the counting server) and
# %%ARMORIQ%% (store, audit and zone) are replaced in the configuration.
#
# Environment: TEST_NGINX_BINARY, TEST_NGINX_MODULE, TEST_NGINX_PRELOAD (a
# library, for sanitizers), TEST_NGINX_LEAVE (keep the files), ARMORIQCTL.

use strict;
use warnings;

use Exporter 'import';
use Fcntl qw/:flock/;
use File::Basename;
use File::Spec;
use File::Temp qw/tempdir/;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX qw/WNOHANG/;
use Test::More ();
use Time::HiRes qw/sleep time/;

our @EXPORT = qw/http http_raw http_parse json_text json_value/;

my $top = File::Spec->rel2abs(dirname(__FILE__) . '/../..');

my $nginx = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
my $module = $ENV{TEST_NGINX_MODULE} || "$top/build/ngx_armoriq_module.so";
my $ctl = $ENV{ARMORIQCTL} || "$top/build/armoriqctl";

my $json = JSON::PP->new->canonical->allow_nonref->utf8;


# life of a test

sub new {
    my ($class, %o) = @_;

    for ([ $nginx, 'nginx' ], [ $module, 'the module' ],
         [ $ctl, 'armoriqctl' ])
    {
        my ($file, $what) = @$_;

        Test::More::plan(skip_all => "$what is missing ($file)")
            if !-e $file;
    }

    my $self = bless {
        dir => tempdir('armoriq-XXXXXX', TMPDIR => 1,
                       CLEANUP => !$ENV{TEST_NGINX_LEAVE}),
        owner => $$,
        pids => [],
        checked => 0,
    }, $class;

    $self->{ports} = [ free_ports($o{ports} || 1) ];

    # so that what was started is ended

    $SIG{$_} ||= sub { exit 1 } for qw/HUP INT TERM/;

    return $self;
}

# Below those that the kernel gives to clients: a free one of these may be the
# end of somebody's connection a moment later.  A UDP socket on the same number
# keeps it from other tests for as long as this one runs.

my @held;

sub free_ports {
    my ($n) = @_;
    my @ports;

    for (1 .. 1000) {
        my $port = 10000 + int rand 20000;

        my $udp = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                        LocalPort => $port, Proto => 'udp')
            or next;
        my $tcp = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                        LocalPort => $port, Listen => 1,
                                        ReuseAddr => 1)
            or next;

        push @held, $udp;
        push @ports, $port;

        return @ports if @ports == $n;
    }

    die "no free ports\n";
}

sub top    { $top }
sub module { $module }
sub dir    { $_[0]{dir} }
sub store  { "$_[0]{dir}/store" }
sub audit  { $_[0]{audit} || "$_[0]{dir}/store/audit" }
sub port   { $_[0]{ports}[$_[1] || 0] }

sub write {
    my ($self, $name, $data) = @_;
    my $path = "$self->{dir}/$name";

    open my $f, '>:raw', $path or die "$path: $!";
    print $f $data or die "$path: $!";
    close $f or die "$path: $!";

    return $path;
}

sub read {
    my ($self, $name) = @_;

    open my $f, '<:raw', "$self->{dir}/$name" or return '';
    local $/;

    return scalar <$f>;
}


# nginx

# $http goes into http {}; main => ..., events => ..., workers => N; bare => 1
# leaves the module out

sub run {
    my ($self, $http, %o) = @_;

    $self->configure($http, %o);

    return $self->start();
}

sub configure {
    my ($self, $http, %o) = @_;
    my $d = $self->{dir};

    my $conf = ($o{bare} ? '' : "load_module $module;\n")
        . ($> == 0 ? "user root;\n" : '')
        . "worker_processes " . ($o{workers} || 1) . ";\n"
        . ($o{main} || '') . "\n"
        . "events { " . ($o{events} || '') . " }\n"
        . "http {\n"
        . "access_log $d/access.log;\n"
        . $self->temp_paths()
        . "$http\n}\n";

    $self->write('nginx.conf', $self->replace($conf));

    return $self;
}

sub temp_paths {
    my ($self) = @_;

    return join '', map { "${_}_temp_path $self->{dir}/tmp_$_;\n" }
        qw/client_body proxy fastcgi uwsgi scgi/;
}

sub replace {
    my ($self, $conf) = @_;

    my $armoriq = 'armoriq_store ' . $self->store() . ";\n"
        . 'armoriq_audit ' . join(' ', $self->audit(),
                                  $self->{audit_options} || ()) . ";\n"
        . "armoriq_zone 8m;\n";

    $conf =~ s/%%ARMORIQ%%/$armoriq/g;
    $conf =~ s/%%PORT(\d+)%%/$self->{ports}[$1]/g;
    $conf =~ s/%%DIR%%/$self->{dir}/g;
    $conf =~ s/%%UPSTREAM%%/'127.0.0.1:' . ($self->{upstream_port} || 1)/ge;

    return $conf;
}

sub command {
    my ($self, @args) = @_;
    my $d = $self->{dir};

    return ($nginx, '-p', "$d/", '-c', "$d/nginx.conf", '-e', "$d/error.log",
            '-g', "pid $d/nginx.pid; error_log $d/error.log "
                  . ($ENV{TEST_NGINX_LOG} || 'info') . ';', @args);
}

# in a child: what only nginx may see

sub preload {
    $ENV{LD_PRELOAD} = $ENV{TEST_NGINX_PRELOAD} if $ENV{TEST_NGINX_PRELOAD};
}

sub start {
    my ($self) = @_;
    my $d = $self->{dir};

    unlink "$d/nginx.pid";

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        preload();

        my @cmd = $self->command();
        $cmd[-1] .= ' daemon off;';

        open STDOUT, '>>', "$d/nginx.out";
        open STDERR, '>>', "$d/nginx.out";

        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    }

    $self->{pid} = $pid;

    for (1 .. 500) {
        last if -s "$d/nginx.pid";

        if (waitpid($pid, WNOHANG) > 0) {
            delete $self->{pid};
            die "nginx did not start:\n" . $self->read('nginx.out')
                . $self->read('error.log');
        }

        sleep 0.02;
    }

    return $self;
}

# exit code and output of "nginx -t" with the configuration as it is

sub check_config {
    my ($self) = @_;
    my $d = $self->{dir};

    my $pid = open my $out, '-|';
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        preload();
        open STDERR, '>&', \*STDOUT;

        my @cmd = $self->command('-t');
        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    }

    local $/;
    my $text = <$out>;
    close $out;

    # what is refused on purpose is no alert of the running nginx

    $self->{expected} .= $self->read('error.log')
        if !$self->{pid};
    unlink "$d/error.log" if !$self->{pid};

    return ($? >> 8, defined $text ? $text : '');
}

sub master  { $_[0]{pid} }

sub workers {
    my ($self) = @_;
    my @pids;

    for my $stat (glob '/proc/[0-9]*/stat') {
        open my $f, '<', $stat or next;
        my $line = <$f>;

        push @pids, $1
            if defined $line && $line =~ /^(\d+) \(.*\) \S+ (\d+) /
               && $2 == $self->{pid};
    }

    return sort { $a <=> $b } @pids;
}

# waits until new workers have taken over from the old ones

sub reload {
    my ($self) = @_;
    my %old = map { $_ => 1 } $self->workers();

    kill 'HUP', $self->{pid};

    for (1 .. 250) {
        my @new = grep { !$old{$_} } $self->workers();

        last if @new;
        sleep 0.02;
    }

    sleep 0.1;
}

sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} or return;
    my @workers = do { local $self->{pid} = $pid; $self->workers() };

    kill $signal || 'QUIT', $pid;

    for (1 .. 500) {
        last if waitpid($pid, WNOHANG) != 0;

        if ($_ == 500) {
            Test::More::fail('nginx ends in 10 seconds');
            kill 'KILL', $pid, @workers;
            waitpid $pid, 0;
        }

        sleep 0.02;
    }

    # a killed master leaves its workers behind

    if (($signal || '') eq 'KILL') {
        kill 'KILL', @workers if @workers;

        for my $w (@workers) {
            for (1 .. 250) { last if !kill 0, $w; sleep 0.02 }
        }
    }
}

# as by a power switch, but for the disk

sub crash {
    my ($self) = @_;

    $self->stop('KILL');
}

sub end_upstream {
    my ($self) = @_;

    for my $pid (splice @{ $self->{pids} }) {
        kill 'TERM', $pid;
        waitpid $pid, 0;
    }
}

# stops everything and runs the two tests that every file has

sub finish {
    my ($self) = @_;

    $self->stop();
    $self->end_upstream();

    return if $self->{checked}++;

    my $log = $self->read('error.log') . $self->read('nginx.out');
    my $alerts = join "\n", $log =~ /.+\[(?:alert|emerg|crit)\].+/g;
    my $asan = join "\n", $log =~ /.*(?:Sanitizer|runtime error:).*/g;

    if ($self->{allow}) {
        $alerts = join "\n",
            grep { $_ !~ $self->{allow} } split /\n/, $alerts;
    }

    Test::More::is($alerts, '', 'no alerts');
    Test::More::is($asan, '', 'no sanitizer errors');
}

# alerts that a test causes on purpose

sub allow_alerts { $_[0]{allow} = $_[1] }

sub done_testing {
    my ($self) = @_;

    $self->finish();
    Test::More::done_testing();
}

sub DESTROY {
    my ($self) = @_;

    return if $$ != $self->{owner};

    local ($?, $!, $@);

    $self->stop();
    $self->end_upstream();
}


# armoriqctl

# exit code, stdout, stderr; local $t->{stdin}: a file for its standard input

sub ctl {
    my ($self, @args) = @_;
    my $err = "$self->{dir}/ctl.err";

    my $pid = open my $out, '-|';
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        open STDERR, '>', $err;
        open STDIN, '<', $self->{stdin} || '/dev/null';
        exec { $ctl } $ctl, @args or POSIX::_exit(127);
    }

    local $/;
    my $text = <$out>;
    close $out;

    my $code = $? & 127 ? 128 + ($? & 127) : $? >> 8;

    return ($code, defined $text ? $text : '', $self->read('ctl.err'));
}

sub ctl_ok {
    my ($self, @args) = @_;
    my ($code, $out, $err) = $self->ctl(@args);

    die "armoriqctl @args: exit code $code\n$out$err" if $code != 0;

    return $out;
}

# org => "example", mcps => [...], policy => {...} or undef for none, audit =>
# a directory.
# Returns the API key.

sub init_store {
    my ($self, %o) = @_;
    my $org = $o{org} || 'example';
    my @store = ('--store', $self->store());

    $self->{org} = $org;

    $self->{audit} = $o{audit};

    delete $self->{salts};

    my $out = $self->ctl_ok('init', @store, '--org', $org, '--json',
                            $o{audit} ? ('--audit', $o{audit}) : ());
    my $key = json_value($out)->{api_key}
        or die "armoriqctl init: no api_key in $out";

    $self->ctl_ok('mcp', 'add', @store, '--org', $org, $_)
        for @{ $o{mcps} || [ 'infra-mcp' ] };

    $self->add_policy(exists $o{policy} ? $o{policy}
                                        : { allow => [ '*' ] });

    return $self->{key} = $key;
}

sub key { $_[0]{key} }

sub add_policy {
    my ($self, $policy) = @_;

    return if !$policy;

    my %p = (name => 'test', status => 'active', %$policy);

    $p{target} ||= { type => 'org', id => $self->{org} };

    $self->ctl_ok('policy', 'add', '--store', $self->store(),
                  '--org', $self->{org},
                  $self->write("policy-$p{name}.json", $json->encode(\%p)));
}

# a token for a plan, from the CLI: steps => [[action, params], ...] or plan
# => {...}; user, agent, seconds.  Returns the answer, decoded: jws, iap,
# plan_hash and others.  For what the token API answers see request_token().

sub issue_token {
    my ($self, %o) = @_;

    my $plan = $self->write('plan.json', json_text($o{plan} || plan(%o)));

    my $out = $self->ctl_ok('token', 'issue', '--store', $self->store(),
        '--org', $self->{org}, '--user', $o{user} || 'alice',
        '--agent', $o{agent} || 'sysadmin',
        '--plan', $plan, '--format', 'both', '--json',
        $o{seconds} ? ('--expires', $o{seconds}) : ());

    return json_value($out);
}

sub plan {
    my (%o) = @_;
    my $mcp = $o{mcp} || 'infra-mcp';

    return {
        goal => $o{goal} || 'test',
        steps => [ map { {
            action => $_->[0], mcp => $_->[2] || $mcp,
            (defined $_->[1] ? (params => $_->[1]) : ()),
        } } @{ $o{steps} } ],
    };
}

# the same from the API of nginx, as the SDKs ask for it

sub request_token {
    my ($self, %o) = @_;

    my $body = json_text({
        user_id => $o{user} || 'alice', agent_id => $o{agent} || 'sysadmin',
        context_id => 'default', plan => $o{plan} || plan(%o),
        expires_in => $o{seconds} || 60,
        ($o{policy} ? (policy => $o{policy}) : ()),
    });

    my $r = http_parse(http($self->port($o{port} || 0), '/iap/sdk/token',
        body => $body,
        headers => "Content-Type: application/json\r\n"
                   . 'X-API-Key: ' . ($o{key} || $self->{key}) . "\r\n"));

    return $r->{json} || { success => 0, status => $r->{status} };
}

# one JSON-RPC request to an MCP location, answer as of http_parse()

sub mcp {
    my ($self, $method, $params, %o) = @_;

    my $body = exists $o{body} ? $o{body} : json_text({
        jsonrpc => '2.0', method => $method,
        ($params ? (params => $params) : ()),
        (exists $o{id} ? (defined $o{id} ? (id => $o{id}) : ()) : (id => 1)),
    });

    return http_parse(http($self->port($o{port} || 0), $o{path} || '/mcp',
        body => $body,
        headers => "Content-Type: application/json\r\n"
            . "Accept: application/json, text/event-stream\r\n"
            . (defined $o{token} ? "Authorization: Bearer $o{token}\r\n" : '')
            . ($o{headers} || '')));
}

sub mcp_call {
    my ($self, $tool, $args, %o) = @_;

    return $self->mcp('tools/call', { name => $tool, arguments => $args },
                      %o);
}

# POST /invoke as @armoriq/sdk 0.2.6 sends it; token: an answer of the token
# API; plan: the plan it was issued for

sub invoke {
    my ($self, $action, $params, %o) = @_;
    my $answer = $o{token};
    my %envelope = (
        mcp => $o{mcp} || 'infra-mcp', action => $action, tool => $action,
        params => $params, arguments => $params,
    );
    my $headers = "Content-Type: application/json\r\n"
        . "Accept: application/json, text/event-stream\r\n";

    my $key = exists $o{key} ? $o{key} : $self->{key};

    $headers .= "Authorization: Bearer $key\r\nX-API-Key: $key\r\n"
        if defined $key;

    if ($answer) {
        my $plan = $o{plan};

        $envelope{plan} = $plan;
        $envelope{token} = $envelope{csrg_token} = $answer->{token};
        $envelope{intent_token} = {
            plan => $plan,
            map { $_ => $answer->{$_} } qw/token plan_hash merkle_root
                intent_reference composite_identity step_proofs/,
        };

        my ($i) = grep { $plan->{steps}[$_]{action} eq $action }
                       0 .. $#{ $plan->{steps} };

        if (defined $i && !$o{no_csrg}) {
            require Digest::SHA;

            $headers .= "X-CSRG-Path: /steps/[$i]/action\r\n"
                . 'X-CSRG-Value-Digest: '
                . Digest::SHA::sha256_hex($json->encode($action)) . "\r\n"
                . 'X-CSRG-Proof: '
                . $json->encode($answer->{step_proofs}[$i]) . "\r\n";
        }
    }

    %envelope = (%envelope, %{ $o{envelope} || {} });

    return http_parse(http($self->port($o{port} || 0), '/invoke',
        body => $json->encode(\%envelope),
        headers => $headers . ($o{headers} || '')));
}


# the audit log

sub audit_verify {
    my ($self, @args) = @_;

    return $self->ctl('audit', 'verify', @args, $self->audit());
}

# all records, decoded; of one type if asked ("INTENT")

sub audit_records {
    my ($self, $type) = @_;
    my @records;

    for my $file (sort glob $self->audit() . '/seg-*.jsonl') {
        open my $f, '<:raw', $file or die "$file: $!";
        push @records, map { json_value($_) } grep { /\n\z/ } <$f>;
    }

    return grep { !defined $type || $_->{t} eq $type } @records;
}

# The hash that a record has of arguments (the canonical JSON), a "body" or a
# "result", under the newest salt or the one of this number; from the format,
# not from our code.

sub salted {
    my ($self, $kind, $bytes, $number) = @_;

    require Digest::SHA;

    if (!$self->{salts} || $number && !$self->{salts}{$number}) {
        my $list = json_value($self->ctl_ok('org', 'salts', '--store',
            $self->store(), $self->{org}, '--reveal', '--json'))->{salts};

        $self->{salts} = { map { $_->{salt} => $_->{key} }
                           grep { $_->{key} } @$list };
    }

    my ($newest) = sort { $b <=> $a } keys %{ $self->{salts} };
    my $key = $self->{salts}{ $number || $newest };

    return Digest::SHA::hmac_sha256_hex(
        "armoriq-audit/v1 $kind\n" . Digest::SHA::sha256($bytes),
        pack 'H*', $key);
}


# an MCP server that counts

# Every request is recorded before it is answered.  sse => 1: answers are
# event streams; session => 1: it gives out a session id and wants it back;
# answer => sub ($request): [status, headers, body] or undef; slow => seconds;
# port => N instead of a free one.

sub upstream {
    my ($self, %o) = @_;

    my $sock = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                     LocalPort => $o{port} || 0,
                                     Listen => 128, ReuseAddr => 1)
        or die "listen: $!";

    $self->{upstream_port} = $sock->sockport;
    $self->{hits_file} = "$self->{dir}/hits";

    my $file = $self->{hits_file};

    push @{ $self->{pids} }, accept_all($sock, sub { serve($_[0], $file, %o) });

    return $self->{upstream_port};
}

# A process that accepts connections, and one more for each of them, which calls
# $serve->($connection).  Returns its pid: it leads a process group, and TERM
# ends all of it.

sub accept_all {
    my ($sock, $serve) = @_;
    my $parent = $$;
    my $pid = fork;

    die "fork: $!" if !defined $pid;

    if ($pid) {
        close $sock;
        return $pid;
    }

    POSIX::setpgid(0, 0);

    local $SIG{CHLD} = 'IGNORE';
    local $SIG{TERM} = sub {
        $SIG{TERM} = 'IGNORE';
        kill 'TERM', 0;
        POSIX::_exit(0);
    };

    my $sel = IO::Select->new($sock);

    while (1) {

        # a test that was killed leaves nobody who would end this

        if (!$sel->can_read(1)) {
            POSIX::_exit(0) if getppid() != $parent;
            next;
        }

        my $c = $sock->accept or next;
        my $child = fork;

        if (defined $child && $child == 0) {
            local $SIG{TERM} = 'DEFAULT';

            close $sock;
            $serve->($c);
            POSIX::_exit(0);
        }

        close $c;
    }
}

# what reached it: requests as hashes; with a method, those JSON-RPC calls

sub hits {
    my ($self, $method) = @_;

    open my $f, '<:raw', $self->{hits_file} or return;
    my @all = map { json_value($_) } <$f>;

    return grep {
        !defined $method || ref $_->{json} eq 'HASH'
        && defined $_->{json}{method} && $_->{json}{method} eq $method
    } @all;
}

sub calls { my ($self) = @_; scalar(my @h = $self->hits('tools/call')) }

# how many requests reached it, without reading what they were

sub hit_count {
    my ($self) = @_;
    my $n = 0;

    open my $f, '<:raw', $self->{hits_file} or return 0;
    while (defined(my $line = <$f>)) { $n++ }

    return $n;
}

sub last_hit {
    my ($self) = @_;
    my $last;

    open my $f, '<:raw', $self->{hits_file} or return;

    while (defined(my $line = <$f>)) { $last = $line }

    return json_value($last);
}

sub serve {
    my ($c, $file, %o) = @_;
    my $buf = '';

    $c->autoflush(1);

    while (1) {
        until ($buf =~ /\r\n\r\n/) {
            sysread $c, $buf, 65536, length $buf or return;
        }

        my ($head, $rest) = split /\r\n\r\n/, $buf, 2;
        my ($line, @lines) = split /\r\n/, $head;
        my ($method, $uri) = split / /, $line;
        my %h;

        for (@lines) {
            my ($name, $value) = /^([^:]+):\s*(.*)$/ or next;
            $name = lc $name;
            $h{$name} = exists $h{$name} ? "$h{$name}, $value" : $value;
        }

        my $body = '';

        if (($h{'transfer-encoding'} || '') =~ /chunked/i) {
            while (1) {
                until ($rest =~ /\r\n/) {
                    sysread $c, $rest, 65536, length $rest or return;
                }

                $rest =~ s/^([0-9a-fA-F]+)[^\r]*\r\n// or return;
                my $n = hex $1;

                until (length $rest >= $n + 2) {
                    sysread $c, $rest, 65536, length $rest or return;
                }

                $body .= substr $rest, 0, $n;
                $rest = substr $rest, $n + 2;

                last if $n == 0;
            }

        } else {
            my $n = $h{'content-length'} || 0;

            until (length $rest >= $n) {
                sysread $c, $rest, 65536, length $rest or return;
            }

            $body = substr $rest, 0, $n;
            $rest = substr $rest, $n;
        }

        $buf = $rest;

        my $req = { method => $method, uri => $uri, headers => \%h,
                    body => $body, json => scalar json_value($body) };

        record($file, $req);
        sleep $o{slow} if $o{slow};

        my $answer = $o{answer} && $o{answer}->($req) || reply($req, %o);
        my ($status, $headers, $text) = @$answer;
        my $close = ($h{connection} || '') =~ /close/i;

        print $c "HTTP/1.1 $status X\r\n$headers"
            . ($close ? "Connection: close\r\n" : '')
            . 'Content-Length: ' . length($text) . "\r\n\r\n$text"
            or return;

        return if $close;
    }
}

sub record {
    my ($file, $req) = @_;

    # bytes, so that a body which is not UTF-8 survives

    my $line = JSON::PP->new->canonical->ascii->allow_nonref->encode($req);

    open my $f, '>>:raw', $file or return;
    flock $f, LOCK_EX;
    syswrite $f, "$line\n";
    close $f;
}

sub reply {
    my ($req, %o) = @_;
    my $rpc = ref $req->{json} eq 'HASH' ? $req->{json} : {};
    my $method = defined $rpc->{method} ? $rpc->{method} : '';
    my $headers = "Content-Type: application/json\r\n";
    my $result = {};

    return [ 405, '', '' ] if $req->{method} eq 'GET';
    return [ 200, '', '' ] if $req->{method} ne 'POST';

    if ($method eq 'initialize') {
        $headers .= "Mcp-Session-Id: session-1\r\n" if $o{session};
        $result = {
            protocolVersion => $rpc->{params}{protocolVersion}
                               || '2025-06-18',
            capabilities => { tools => {} },
            serverInfo => { name => 'infra-mcp', version => '1' },
        };

    } elsif ($o{session}
             && ($req->{headers}{'mcp-session-id'} || '') ne 'session-1')
    {
        return [ 400, $headers, json_text({ jsonrpc => '2.0', id => undef,
            error => { code => -32000, message => 'no session' } }) ];

    } elsif ($method eq 'tools/list') {
        $result = { tools => [ map { {
            name => $_, inputSchema => { type => 'object' },
        } } qw/infra.list infra.restart infra.scale alerts.list
               alerts.create/ ] };

    } elsif ($method eq 'tools/call') {
        $result = { content => [ { type => 'text',
            text => json_text(ref $rpc->{params} eq 'HASH'
                              ? $rpc->{params}{arguments} : undef) } ] };
    }

    return [ 202, '', '' ] if !exists $rpc->{id};

    my $text = json_text({ jsonrpc => '2.0', id => $rpc->{id},
                           result => $result });

    return [ 200, $headers, $text ] if !$o{sse};

    $headers =~ s{application/json}{text/event-stream};

    return [ 200, $headers, "event: message\ndata: $text\n\n" ];
}


# JSON

sub json_text { $json->encode($_[0]) }

# undef if it is none

sub json_value {
    my ($text) = @_;

    return if !defined $text || $text eq '';

    return scalar eval { $json->decode($text) };
}


# HTTP

# Sends the parts a tenth of a second apart and reads until the peer closes.

sub http_raw {
    my ($port, @parts) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 5)
        or return '';

    local $SIG{PIPE} = 'IGNORE';

    for my $i (0 .. $#parts) {
        my $off = 0;

        while ($off < length $parts[$i]) {
            my $n = syswrite $s, $parts[$i], length($parts[$i]) - $off, $off;
            last if !$n;
            $off += $n;
        }

        sleep 0.1 if $i < $#parts;
    }

    my $buf = '';
    my $sel = IO::Select->new($s);
    my $end = time() + ($ENV{TEST_NGINX_TIMEOUT} || 20);

    while ($sel->can_read($end - time())) {
        sysread $s, $buf, 65536, length $buf or last;
        last if time() >= $end;
    }

    return $buf;
}

sub http {
    my ($port, $path, %o) = @_;
    my $b = $o{body};
    my $m = $o{method} || (defined $b ? 'POST' : 'GET');

    return http_raw($port, "$m $path HTTP/1.1\r\n"
        . 'Host: ' . ($o{host} || "127.0.0.1:$port") . "\r\n"
        . "Connection: close\r\n" . ($o{headers} || '')
        . (defined $b ? 'Content-Length: ' . length($b) . "\r\n" : '')
        . "\r\n" . (defined $b ? $b : ''));
}

# { status, reason, headers (lower-case names), body, json, why }: json of
# the body or of the first event; why: the reason of a refusal, wherever it
# stands

sub http_parse {
    my ($raw) = @_;
    my ($head, $body) = split /\r\n\r\n/, $raw, 2;

    $head = '' if !defined $head;
    $body = '' if !defined $body;

    my ($line, @lines) = split /\r\n/, $head;
    my %h;

    for (@lines) {
        my ($name, $value) = /^([^:]+):\s*(.*)$/ or next;
        $h{lc $name} = $value;
    }

    if (($h{'transfer-encoding'} || '') =~ /chunked/i) {
        my $out = '';

        while ($body =~ s/^([0-9a-fA-F]+)[^\r]*\r\n// && hex $1) {
            my $n = hex $1;
            $out .= substr $body, 0, $n;
            $body = length $body > $n + 2 ? substr $body, $n + 2 : '';
        }

        $body = $out;
    }

    my ($status, $reason) = ($line || '') =~ m{^HTTP/1\.\d (\d{3}) ?(.*)$};
    my $value = json_value($body);

    if (!defined $value && ($h{'content-type'} || '') =~ /event-stream/) {
        for ($body =~ /^data: ?(.*?)\r?$/mg) {
            $value = json_value($_);
            last if defined $value;
        }
    }

    my $why = '';

    if (ref $value eq 'HASH') {
        my $e = ref $value->{error} eq 'HASH' ? $value->{error} : {};
        my $data = ref $e->{data} eq 'HASH' ? $e->{data} : {};

        # a copy: grep makes members of the elements it is given

        my @found = ($data->{reason}, $value->{reason},
                     $value->{error_code}, '');

        ($why) = grep { defined && !ref } @found;
    }

    return { status => $status || 0, reason => $reason, headers => \%h,
             body => $body, json => $value, why => $why, raw => $raw };
}

1;
