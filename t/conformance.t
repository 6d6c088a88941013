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
    qw/direct tuned/;

# The suite has no credentials: a first server adds them.  The second one is
# what is tested.

my $front = <<'CONF';
        location / {
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-API-Key "%%KEY%%";
CONF

my $guarded = <<'CONF';
            armoriq on;
            armoriq_mcp infra-mcp;
            armoriq_method tools/call identity;
            armoriq_method * identity;
CONF

my $conf = <<"CONF";
%%ARMORIQ%%

    upstream tuned {
        server 127.0.0.1:$fixture{tuned};
        armoriq_guard;
        keepalive 16;
        keepalive_timeout 4s;
    }

    server {
        listen 127.0.0.1:%%PORT0%%;

$front
            proxy_pass http://127.0.0.1:%%PORT1%%;
        }
    }

    server {
        listen 127.0.0.1:%%PORT1%%;

        location = /mcp {
$guarded
            armoriq_origins http://127.0.0.1:%%PORT0%%;

            proxy_pass http://tuned;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Host \$http_host;
        }
    }
CONF

$conf =~ s/%%KEY%%/$key/g;

$t->run($conf);

my %port = (direct => $fixture{direct}, tuned => $t->port(0));

# the sets one after the other, the ways side by side

my %pid = map { $_ => run_suite($_) } sort keys %port;

waitpid $_, 0 for values %pid;

for my $set (sort keys %sets) {
    my $expected = $sets{$set};
    my $direct = result('direct', $set);

    is($direct->{exit}, 0, "$set: the server itself conforms")
        or diag($direct->{text});

    is($direct->{scenarios}, $expected->{scenarios}, "$set: all scenarios");
    is($direct->{checks}, $expected->{checks}, "$set: all checks");

    for my $way (grep { $_ ne 'direct' } sort keys %port) {
        my $r = result($way, $set);
        my @changed = changes($direct->{lines}, $r->{lines});

        is(join("\n", @changed), '', "$set: no line changed ($way)");

        @changed = changes($direct->{records}, $r->{records});

        is(join("\n", @changed), '', "$set: no check changed ($way)");

        diag("$set, $way: $r->{scenarios} scenarios, $r->{checks} checks, "
             . @{ $r->{lines} } . ' lines like those without the module');
    }
}

# it was the module that let them through, and took the key away

my %hits = server_hits($fixture{tuned});
my %same = server_hits($fixture{direct});

is($hits{total}, $same{total}, 'as many calls reached the server');
is($hits{secrets}, 0, 'no key reached it');

$t->stop();

is(scalar(grep { $_->{verdict} eq 'PERMIT' && ($_->{tool} || '') ne '' }
          $t->audit_records('INTENT')),
   $hits{total}, 'each of them has a record');

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
    my $dir = $t->dir() . "/$way-$set";
    my @records;
    my $scenarios = 0;

    for my $file (sort glob "$dir/*/checks.json") {
        my ($name) = $file =~ m{/([^/]+)/checks\.json$};

        $scenarios++;

        push @records, map { "$name " . normal(json_text(unstamp($_))) }
            @{ json_value($t->read("$way-$set/$name/checks.json")) };
    }

    return {
        exit => $t->read("$way-$set.exit"),
        text => $text,
        lines => [ map { normal($_) } split /\n/, $text ],
        records => [ map { normal($_) } @records ],
        scenarios => $scenarios,
        checks => scalar @records,
    };
}

# What differs from run to run without the module as well.

sub normal {
    my ($s) = @_;

    # the port of the server or of nginx, and the test's own directory

    s/127\.0\.0\.1:\d+/127.0.0.1:PORT/g, s{\Q@{[ $t->dir() ]}\E/\w+-}{DIR/}g
        for $s;

    # times: in the names of directories, and those by which the suite numbers
    # its requests

    $s =~ s/\d{4}-\d\d-\d\dT[\d:.-]+Z/TIME/g;
    $s =~ s/\b1[6-9]\d{11}\b/TIME/g;

    # sessions and event ids are random; a state has a time and a MAC

    $s =~ s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/ID/g;
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

    return $check;
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
