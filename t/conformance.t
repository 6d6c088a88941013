#!/usr/bin/perl

# Guards the promise to stay invisible to honest MCP traffic: the public
# conformance suite says the same, line by line, of a server behind the module
# as of the server itself, for both eras.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use ArmorIQ;
use ArmorIQ::Node;


my $node = node(22) or plan(skip_all => missing(22));

my $suite = package_file('node_modules/@modelcontextprotocol/conformance'
                         . '/dist/index.js')
    or plan(skip_all => 'run "npm ci" in t/interop first');

# what the frozen sets have, so that nothing is compared with nothing

my %sets = (
    '2025-11-25' => { scenarios => 33, checks => 91 },
    '2026-07-28' => { scenarios => 50, checks => 196 },
);

my $t = ArmorIQ->new(ports => 4);
my $key = $t->init_store(policy => { allow => [ '*' ] });

# One server for each way: a change that one run causes is told to all clients
# that listen.

my %fixture = map { $_ => start_server($t, $node, 'fixture.mjs') }
    qw/direct tuned untuned/;

# The suite has no credentials: a first server adds them.  The second one is
# what is tested, tuned for MCP or as nginx is by default: with
# HTTP/1.0 and buffers, even if the server asks for none.

my %proxy = (
    tuned => 'proxy_http_version 1.1; proxy_set_header Connection "";'
             . ' proxy_buffering off;',
    untuned => 'proxy_ignore_headers X-Accel-Buffering;',
);

my $conf = "%%ARMORIQ%%\n";

for my $i (0, 1) {
    my $way = (qw/tuned untuned/)[$i];
    my ($front, $back) = map { $t->port(2 * $i + $_) } 0, 1;

    $conf .= <<"CONF";
    upstream $way {
        server 127.0.0.1:$fixture{$way};
        armoriq_guard;
    }

    server {
        listen 127.0.0.1:$front;

        location / {
            proxy_pass http://127.0.0.1:$back;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Host \$http_host;
            proxy_set_header X-API-Key "$key";
        }
    }

    server {
        listen 127.0.0.1:$back;

        location = /mcp {
            armoriq on;
            armoriq_mcp infra-mcp;
            armoriq_method tools/call identity;
            armoriq_method * identity;
            armoriq_origins http://127.0.0.1:$front;

            proxy_pass http://$way;
            $proxy{$way}
            proxy_set_header Host \$http_host;
        }
    }
CONF
}

$t->run($conf);

my %port = (direct => $fixture{direct}, tuned => $t->port(0),
            untuned => $t->port(2));

# one after the other: the suite gives a scenario 30 seconds, and has no
# second try on a machine that is busy

waitpid run_suite($_), 0 for sort keys %port;

for my $set (sort keys %sets) {
    my $expected = $sets{$set};
    my $direct = result('direct', $set);

    is($direct->{exit}, 0, "$set: the server itself conforms")
        or diag($direct->{text});

    is($direct->{scenarios}, $expected->{scenarios}, "$set: all scenarios");
    is(@{ $direct->{checks} }, $expected->{checks}, "$set: all checks");

    for my $way (grep { $_ ne 'direct' } sort keys %port) {
        my $r = result($way, $set);
        my @changed = changes($direct->{lines}, $r->{lines});

        my $same = is(join("\n", @changed), '',
                      "$set: no line changed ($way)");

        # a copy of its own, for what is left out with this way only

        my $plain = result('direct', $set)->{checks};
        my $ours = own_refusals($plain, $r->{checks});

        @changed = changes(map { [ map { normal(json_text($_)) } @$_ ] }
                           $plain, $r->{checks});

        $same &= is(join("\n", @changed), '',
                    "$set: no check changed ($way)");

        diag("$set, $way: $r->{scenarios} scenarios, "
             . @{ $r->{checks} } . ' checks and ' . @{ $r->{lines} }
             . " lines like those without the module; $ours refusals are"
             . ' its own, with the same code')
            if $same;
    }
}

# it was the module that let them through, and took the key away

my %hits = map { $_ => { server_hits($fixture{$_}) } } keys %fixture;

$t->stop();

my @intents = $t->audit_records('INTENT');

for my $way (grep { $_ ne 'direct' } sort keys %fixture) {
    cmp_ok($hits{$way}{total}, '>', 50, "calls reached the server ($way)");
    is($hits{$way}{secrets}, 0, "no key reached it ($way)");
}

my $calls = 0;

$calls += $hits{$_}{total} for grep { $_ ne 'direct' } keys %hits;

is(scalar(grep { $_->{verdict} eq 'PERMIT' && ($_->{tool} || '') ne '' }
          @intents),
   $calls, 'each of them has a record');

my ($code, $text) = $t->audit_verify();

is($code, 0, 'the audit log is complete') or diag($text);

$t->done_testing();


sub run_suite {
    my ($way) = @_;

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    return $pid if $pid != 0;

    $ENV{NO_COLOR} = 1;

    for my $set (sort keys %sets) {
        my $out = $t->dir() . "/$way-$set";

        my $status = system("$node $suite server --requirements $set"
            . " --url http://127.0.0.1:$port{$way}/mcp"
            . " --output-dir $out >$out.txt 2>&1 </dev/null");

        $t->write("$way-$set.exit", $status);
    }

    POSIX::_exit(0);
}

# what the suite has printed, and what it has written down of each check

sub result {
    my ($way, $set) = @_;
    my $text = $t->read("$way-$set.txt");
    my @checks;
    my $scenarios = 0;

    for my $file (sort glob $t->dir() . "/$way-$set/*/checks.json") {
        my ($name) = $file =~ m{/([^/]+)/checks\.json$};

        $scenarios++;

        for (@{ json_value($t->read("$way-$set/$name/checks.json")) }) {
            unstamp($_);
            $_->{scenario} = $name;
            push @checks, $_;
        }
    }

    return {
        exit => $t->read("$way-$set.exit"),
        text => $text,
        lines => [ map { normal($_) } split /\n/, $text ],
        checks => \@checks,
        scenarios => $scenarios,
    };
}

# What differs from run to run without the module as well.

sub normal {
    my ($s) = @_;
    my $dir = $t->dir();

    # the port of the server or of nginx, and the test's own directory

    $s =~ s/127\.0\.0\.1:\d+/127.0.0.1:PORT/g;
    $s =~ s{\Q$dir\E/\w+-}{DIR/}g;

    # times: in the names of directories, and those by which the suite numbers
    # its requests

    $s =~ s/\d{4}-\d\d-\d\dT[\d:.-]+Z/TIME/g;
    $s =~ s/\b1[6-9]\d{11}\b/TIME/g;

    # sessions and event ids are random; a state has a time and a MAC

    $s =~ s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/ID/g;

    # what a permitted answer has more: where its record is

    $s =~ s/,"x-armoriq-(?:leaf|record)":"[^"]*"//g;
    $s =~ s/"v1\.[\w-]+\.[\w-]+"/"STATE"/g;

    return $s;
}

# Without the time of a check, and without the headers that each HTTP hop sets
# anew: Date, Server, the framing of the body and the connection.
# X-Accel-Buffering is an order to nginx, which obeys and consumes it.

sub unstamp {
    my ($check) = @_;

    delete $check->{timestamp};

    my $details = ref $check->{details} eq 'HASH' ? $check->{details} : {};

    if (ref $details->{headers} eq 'HASH') {
        delete @{ $details->{headers} }{qw/connection content-length date
            keep-alive server transfer-encoding x-accel-buffering/};
    }
}

# Requests that are malformed, or come from a foreign web page, never reach the
# server: the module refuses them itself, with the same HTTP status and, where
# the specification has one, the same code.  What the two say in words may
# differ, so it is left out here.  Returns how many there were.

sub own_refusals {
    my ($old, $new) = @_;
    my $n = 0;

    for my $i (0 .. $#$new) {
        $n += soften($old->[$i]{details}, $new->[$i]{details})
            if $i <= $#$old;
    }

    return $n;
}

sub soften {
    my ($old, $new) = @_;
    my $n = 0;

    return 0 if ref $old ne 'HASH' || ref $new ne 'HASH';

    for my $key (keys %$new) {
        my ($o, $m) = ($old->{$key}, $new->{$key});

        if (ref $m ne 'HASH' || ref $m->{error} ne 'HASH'
            || ref $m->{error}{data} ne 'HASH'
            || !$m->{error}{data}{requestId})
        {
            $n += soften($o, $m);
            next;
        }

        # the server has refused it as well

        next if ref $o ne 'HASH' || ref $o->{error} ne 'HASH';

        $n++;

        for ($o, $m) {

            # our own codes are outside of the range of JSON-RPC; servers have
            # the general one there, and no id

            my $code = $_->{error}{code};

            $_ = $code > 0 || $code == -32000
                ? 'refused' : { id => $_->{id}, code => $code };
        }

        ($old->{$key}, $new->{$key}) = ($o, $m);
    }

    return $n;
}

# lines that are not the same

sub changes {
    my ($old, $new) = @_;
    my $last = $#$old > $#$new ? $#$old : $#$new;
    my @changes;

    for my $i (0 .. $last) {
        my ($o, $n) = map { defined $_->[$i] ? $_->[$i] : '' } $old, $new;

        push @changes, "-$o", "+$n" if $o ne $n;
    }

    return @changes;
}
