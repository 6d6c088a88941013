package ArmorIQ::Ship;

# What the tests of "armoriqctl audit ship" stand on, in core Perl: a log that
# is written here, and collectors that do as they are told.
#
#     my $l = ArmorIQ::Ship->new();         # log => DIR: one of somebody else
#     $l->append(10);                       # records of all kinds
#     my $http = $l->http_sink('name');     # 127.0.0.1:$http->{port}
#     $http->tell('429 1');                 # from the next request on
#     my ($code, $err) = $l->ship([ {...} ], '--once');
#     my @got = $http->requests();
#
# What a collector can be told: ok; a status, with Retry-After behind it;
# "poison N", 400 for a body with record N in it; "larger N", 413 for more than
# N records; hang; close; partial N; "body TEXT", 400 with that text.

use strict;
use warnings;

use Cwd qw/abs_path/;
use Digest::SHA qw/sha256 sha256_hex/;
use File::Basename;
use File::Temp qw/tempdir/;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX qw/WNOHANG/;
use Time::HiRes qw/sleep time/;

use ArmorIQ ();

my $top = abs_path(dirname(__FILE__) . '/../../..');
my $ctl = $ENV{ARMORIQCTL} || "$top/build/armoriqctl";
my $json = JSON::PP->new->canonical->utf8->allow_nonref;

# names and values that hurt who does not quote them

my @users = ('alice@example.com', 'b"o\\b]', "m\x{fc}ller \x{4f60}", "x\ny",
             '', "\x{1f600}]");

sub new {
    my ($class, %o) = @_;

    die "$ctl is missing, run: make cli\n" if !-x $ctl;

    my $dir = tempdir('armoriq-ship-XXXXXX', TMPDIR => 1,
                      CLEANUP => !$ENV{TEST_NGINX_LEAVE});

    my $self = bless { dir => $dir, log => "$dir/store/audit", owner => $$,
                       pids => [], n => 0 }, $class;

    $SIG{$_} ||= sub { exit 1 } for qw/HUP INT TERM/;

    if ($o{log}) {
        $self->{log} = $o{log};
        return $self;
    }

    return $self->create($self->{log}, "$dir/store");
}

# another log, which is the one that is appended to from now on

sub create {
    my ($self, $log, $store) = @_;

    my $out = qx{$ctl init --store $store --org example 2>&1};
    die "armoriqctl init: $out" if $?;

    my $about = $json->decode(slurp("$log/log.json"));

    $self->{log} = $log;
    $self->{origin} = $about->{origin};
    $self->{prev} = sha256("armoriq-audit/v1\n$about->{origin}\n"
                           . $about->{vkeys}[0]);
    $self->{seq} = 0;
    $self->{first} = 0;
    $self->{lines} = [];
    $self->{leaves} = [];

    # what init itself has written

    for my $seg (sort glob "$log/seg-*.jsonl") {
        $self->{first} = 0 + ($seg =~ /(\d+)\.jsonl$/)[0];

        for my $line (split /\n/, slurp($seg)) {
            $self->remember($line);
        }
    }

    return $self;
}

sub remember {
    my ($self, $line) = @_;

    $self->{seq}++;
    $self->{prev} = sha256("\0$line");

    push @{$self->{lines}}, $line;
    push @{$self->{leaves}}, unpack('H*', $self->{prev});
}

sub dir  { $_[0]{dir} }
sub last { $_[0]{seq} }
sub line { $_[0]{lines}[$_[1] - 1] }
sub leaf { $_[0]{leaves}[$_[1] - 1] }

sub segment {
    my ($self, $first) = @_;

    return sprintf '%s/seg-%016d.jsonl', $self->{log},
        $first || $self->{first};
}

# n records of all kinds, in one write

sub append {
    my ($self, $n, %o) = @_;

    return $self->append_lines(map { $self->body($self->{seq} + $_, %o) }
                               1 .. $n);
}

sub body {
    my ($self, $i, %o) = @_;

    my $rid = sprintf '%032x', $i;
    my $user = $json->encode($users[$i % @users]);
    my $kind = $i % 8;

    return [ 'OUTCOME', join ',', qq("rid":"$rid"),
             '"intent":{"seq":' . ($i - 1) . ',"h":"' . '0' x 64 . '"}',
             '"status":"executed","http":200,"attempts":1,"res_len":17',
             '"dur_us":815' ]
        if $kind == 1;

    return [ 'HEARTBEAT', '"inst":"a.1"' ] if $kind == 2;

    return [ 'SOMETHING', '"inst":"a.1","deep":{"a":[1,{"b":null}]}' ]
        if $kind == 3;

    my $verdict = (qw/PERMIT PERMIT DENY HOLD/)[$i % 4];

    return [ 'INTENT', qq{"inst":"a.1","w":0,"rid":"$rid","org":"example",}
             . qq{"agent":"ops","user":$user,"tok":{"jti":"j-$i","kid":"k"},}
             . qq{"step":0,"mcp":"infra-mcp","http":"POST",}
             . qq{"method":"tools/call","tool":}
             . ($kind == 5 ? '{"len":70000,"sha256":"' . '0' x 64 . '"}'
                           : '"infra.restart"')
             . qq{,"verdict":"$verdict","reason":"OK",}
             . ($o{pad} ? '"detail":"' . 'p' x $o{pad} . '",' : '')
             . qq{"src":"192.0.2.7"} . ($kind == 6 ? ',"dry_run":true' : '')
             . ($kind == 5 ? ',"trunc":true' : '') ];
}

sub append_lines {
    my ($self, @bodies) = @_;
    my $text = '';

    if (!$self->{first}) {
        $self->{first} = $self->{seq} + 1;
    }

    for my $b (@bodies) {
        my $line = $self->make(@$b);

        $self->remember($line);
        $text .= "$line\n";
    }

    $self->put($text);

    return $self;
}

sub make {
    my ($self, $type, $members) = @_;

    my $t = time - 10;
    my @t = gmtime $t;

    my $ts = sprintf '%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', $t[5] + 1900,
        $t[4] + 1, @t[3, 2, 1, 0], ($t - int $t) * 1e6;

    return sprintf '{"v":1,"seq":%d,"prev":"%s","t":"%s","ts":"%s",%s}',
        $self->{seq} + 1, unpack('H*', $self->{prev}), $type, $ts, $members;
}

# a new segment is there with its first records in it, or not at all

sub put {
    my ($self, $text) = @_;
    my $seg = $self->segment();

    if (-e $seg) {
        open my $f, '>>:raw', $seg or die "$seg: $!";
        syswrite $f, $text;
        return;
    }

    spew("$self->{log}/.new", $text);
    chmod 0600, "$self->{log}/.new";
    rename "$self->{log}/.new", $seg or die "$seg: $!";
}

# the next record begins a segment

sub rotate {
    my ($self) = @_;

    $self->{first} = 0;

    return $self;
}

# bytes of a record that was not finished, and the segment that declares them

sub tear {
    my ($self, $bytes) = @_;

    $self->{torn} = $bytes;
    $self->{torn_off} = -s $self->segment();
    $self->put($bytes);

    return $self;
}

sub recover {
    my ($self) = @_;
    my $name = basename($self->segment());

    $self->rotate();

    return $self->append_lines(
        [ 'RECOVERY', qq{"seg":"$name","off":$self->{torn_off},"len":}
          . length($self->{torn}) . ',"sha256":"'
          . sha256_hex($self->{torn}) . '","uncertain":false' ]);
}


# armoriqctl

sub config {
    my ($self, $sinks) = @_;

    return spew("$self->{dir}/ship.json",
                $json->encode({ host => 'proxy-1', sinks => $sinks }));
}

sub secret {
    my ($self, $name, $text) = @_;
    my $file = spew("$self->{dir}/$name", "$text\n");

    chmod 0600, $file;

    return $file;
}

sub args {
    my ($self, $sinks, @more) = @_;

    return ('audit', 'ship', $self->{log}, '--config',
            ref $sinks ? $self->config($sinks) : $sinks,
            '--state', "$self->{dir}/state", @more);
}

# waits for its end: exit code and what it has said

sub ship {
    my ($self, $sinks, @more) = @_;

    $self->start($sinks, @more);

    return $self->finish(30);
}

sub start {
    my ($self, $sinks, @more) = @_;
    my @args = $self->args($sinks, @more);

    my $out = $self->{out} = "$self->{dir}/ship.out." . $self->{n}++;

    $self->{shipper} = $self->child(sub {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $out;
        open STDERR, '>&', \*STDOUT;
        exec { $ctl } $ctl, @args;
    });

    return $self;
}

sub said { slurp($_[0]{out}) }

sub stop {
    my ($self, $signal) = @_;

    kill $signal || 'TERM', $self->{shipper};

    return $self->finish(15);
}

sub finish {
    my ($self, $seconds) = @_;
    my $pid = $self->{shipper};
    my $status;

    wait_for(sub {
        waitpid($pid, WNOHANG) == $pid or return 0;
        $status = $?;
        return 1;
    }, $seconds);

    if (!defined $status) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
        return ('hangs', $self->said());
    }

    @{$self->{pids}} = grep { $_ != $pid } @{$self->{pids}};

    return ($status & 127 ? 128 + ($status & 127) : $status >> 8,
            $self->said());
}

sub cursor {
    my ($self, $sink) = @_;
    my $text = slurp("$self->{dir}/state/$sink.cursor");

    return $text eq '' ? undef : $json->decode($text);
}

# seq => object

sub dead {
    my ($self, $sink) = @_;

    return map { $json->decode($_) }
        split /\n/, slurp("$self->{dir}/state/$sink.dead");
}


# collectors

sub child {
    my ($self, $code) = @_;

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw/HUP INT TERM/;
        $self->{owner} = 0;
        $code->();
        POSIX::_exit(127);
    }

    push @{$self->{pids}}, $pid;

    return $pid;
}

sub listener {
    my ($port) = @_;

    return IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                 LocalPort => $port, Listen => 16,
                                 ReuseAddr => 1)
        || die "listen: $!";
}

sub http_sink {
    my ($self, $name, %o) = @_;

    my $sink = bless { dir => "$self->{dir}/$name", name => $name,
                       port => $o{port} || (ArmorIQ::free_ports(1))[0] },
        'ArmorIQ::Ship::Sink';

    mkdir $sink->{dir};
    $sink->tell($o{tell} || 'ok');

    my $listen = listener($sink->{port});

    $sink->{pid} = $self->child(sub { http_serve($sink, $listen) });

    return $sink;
}

sub http_serve {
    my ($sink, $listen) = @_;
    my $select = IO::Select->new($listen);
    my %buf;

    $SIG{PIPE} = 'IGNORE';

    open my $log, '>>:raw', "$sink->{dir}/requests" or die;
    $log->autoflush(1);

    for ( ;; ) {
        for my $s ($select->can_read()) {

            if ($s == $listen) {
                my $c = $listen->accept() or next;
                $select->add($c);
                $buf{$c} = '';
                next;
            }

            my $end = !sysread($s, $buf{$s}, 65536, length $buf{$s});

            while (!$end && $buf{$s} =~ /^(.*?)\r\n\r\n/s) {
                my $head = $1;
                my ($len) = $head =~ /^Content-Length: (\d+)/mi;
                my $whole = length($head) + 4 + ($len || 0);

                last if length($buf{$s}) < $whole;

                my $body = substr $buf{$s}, length($head) + 4, $len || 0;
                substr($buf{$s}, 0, $whole) = '';

                $end = http_answer($sink, $log, $s, $head, $body);
            }

            if ($end) {
                $select->remove($s);
                delete $buf{$s};
                close $s;
            }
        }
    }
}

sub http_answer {
    my ($sink, $log, $s, $head, $body) = @_;

    my ($line, @headers) = split /\r\n/, $head;
    my %h = map { /^([^:]+): *(.*)/ ? (lc $1 => $2) : () } @headers;
    my $told = ArmorIQ::Ship::slurp("$sink->{dir}/tell");
    my ($what, $arg) = split / /, $told, 2;
    my ($status, $more, $reply) = (200, '', '{}');

    if ($what =~ /^\d/) {
        $status = $what;
        $more = "Retry-After: $arg\r\n" if defined $arg;
        $more .= "Location: http://127.0.0.1:$sink->{port}/elsewhere\r\n"
            if $status == 307;

    } elsif ($what eq 'poison') {
        $status = 400 if $body =~ /seq\\?":$arg\b/;

    } elsif ($what eq 'larger') {
        $status = 413 if (() = $body =~ /prev\\?":/g) > $arg;

    } elsif ($what eq 'body') {
        ($status, $reply) = (400, $arg);

    } elsif ($what eq 'partial') {
        $reply = qq({"partialSuccess":{"rejectedLogRecords":"$arg",)
                 . '"errorMessage":"too old"}}';

    } elsif ($what eq 'token') {
        $reply = $arg;

        # the second one is told apart

        my $n = $sink->{tokens}++;
        $reply =~ s/%N%/$n/;
    }

    print $log $json->encode({ line => $line, headers => \%h, body => $body,
                               told => $told, status => $status,
                               time => time }) . "\n";

    return 1 if $what eq 'close';

    # as long as the other side waits

    if ($what eq 'hang') {
        sleep 0.05 while ArmorIQ::Ship::slurp("$sink->{dir}/tell") eq 'hang';
        return 1;
    }

    print $s "HTTP/1.1 $status X\r\nContent-Length: " . length($reply)
        . "\r\n$more\r\n$reply";

    return 0;
}

# RFC 6587 3.4.1; ends when it is told to close, after so many messages

sub syslog_sink {
    my ($self, $name, %o) = @_;

    my $sink = bless { dir => "$self->{dir}/$name", name => $name,
                       port => $o{port} || (ArmorIQ::free_ports(1))[0] },
        'ArmorIQ::Ship::Sink';

    mkdir $sink->{dir};
    $sink->tell('ok');

    my $listen = listener($sink->{port});

    $sink->{pid} = $self->child(sub { syslog_serve($sink, $listen) });

    return $sink;
}

sub syslog_serve {
    my ($sink, $listen) = @_;

    open my $log, '>>:raw', "$sink->{dir}/messages" or die;
    $log->autoflush(1);

    for ( ;; ) {
        my $c = $listen->accept() or next;
        my $buf = '';
        my $n = 0;

        print $log qq(["connection"]\n);

      READ:
        while (sysread $c, $buf, 65536, length $buf) {
            while ($buf =~ /^([1-9][0-9]*) /) {
                my $whole = length($1) + 1 + $1;

                last if length($buf) < $whole;

                print $log $json->encode([ message =>
                    substr $buf, length($1) + 1, $1 ]) . "\n";

                substr($buf, 0, $whole) = '';
                $n++;

                # what is in the buffer was received, but by nobody; after a
                # while, in which all was sent

                if (ArmorIQ::Ship::slurp("$sink->{dir}/tell") eq "lose $n") {
                    sleep 0.7;
                    $sink->tell('ok');
                    last READ;
                }
            }
        }

        print $log $json->encode([ rest => $buf ]) . "\n";
        close $c;
    }
}

sub kill_sink {
    my ($self, $sink) = @_;

    kill 'KILL', $sink->{pid};
    waitpid $sink->{pid}, 0;

    @{$self->{pids}} = grep { $_ != $sink->{pid} } @{$self->{pids}};
}

# the certificate of a server on 127.0.0.1, signed by itself

sub certificate {
    my ($self, $name, $san) = @_;
    my $base = "$self->{dir}/$name";

    my $out = qx{openssl req -x509 -newkey ec -nodes -days 2 -subj /CN=test \\
        -pkeyopt ec_paramgen_curve:P-256 -addext subjectAltName=$san \\
        -keyout $base.key -out $base.crt 2>&1};
    die "openssl: $out" if $?;

    return ("$base.crt", "$base.key");
}

# whatever is sent through TLS, in a file

sub tls_sink {
    my ($self, $name, $crt, $key, @more) = @_;
    my ($port) = ArmorIQ::free_ports(1);
    my $file = "$self->{dir}/$name.tls";

    pipe my $r, my $w or die;

    my $pid = $self->child(sub {
        close $w;
        open STDIN, '<&', $r;
        open STDOUT, '>', $file;
        open STDERR, '>', "$file.err";
        exec 'openssl', 's_server', '-quiet', '-accept', "127.0.0.1:$port",
            '-cert', $crt, '-key', $key, @more;
    });

    wait_for(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                         PeerPort => $port) }, 10)
        || die 'openssl s_server: ' . slurp("$file.err");

    return bless { port => $port, file => $file, pid => $pid, hold => $w },
        'ArmorIQ::Ship::Sink';
}


# small things

sub wait_for {
    my ($what, $seconds) = @_;
    my $end = time + $seconds;

    for ( ;; ) {
        my $v = $what->();

        return $v if $v;
        return 0 if time > $end;

        sleep 0.02;
    }
}

sub slurp {
    my ($file) = @_;

    open my $f, '<:raw', $file or return '';
    local $/;
    my $text = <$f>;

    return defined $text ? $text : '';
}

sub spew {
    my ($file, $text) = @_;

    open my $f, '>:raw', $file or die "$file: $!";
    print $f $text;
    close $f or die "$file: $!";

    return $file;
}

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    local $?;

    for my $pid (@{$self->{pids}}) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
}


package ArmorIQ::Ship::Sink;

use strict;
use warnings;

sub url { "http://127.0.0.1:$_[0]{port}" . ($_[1] || '') }

sub tell {
    my ($self, $what) = @_;

    ArmorIQ::Ship::spew("$self->{dir}/tell.new", $what);
    rename "$self->{dir}/tell.new", "$self->{dir}/tell";
}

sub requests {
    my ($self) = @_;

    return map { $json->decode($_) }
        split /\n/, ArmorIQ::Ship::slurp("$self->{dir}/requests");
}

sub accepted {
    my ($self) = @_;

    return grep { $_->{status} == 200 && $_->{told} !~ /^(?:hang|close)/ }
        $self->requests();
}

# of syslog: bytes

sub messages {
    my ($self) = @_;

    return map { $_->[1] } grep { $_->[0] eq 'message' }
        map { $json->decode($_) }
        split /\n/, ArmorIQ::Ship::slurp("$self->{dir}/messages");
}

1;
