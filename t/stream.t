#!/usr/bin/perl

# Guards event streams: an event is with the client before the server has to
# send the next one, whatever proxy_buffering says, filtered or not; nothing
# of a stream is changed that is not a list; who leaves ends it for the other
# side, and the record says who it was.  The test is both ends of nginx, so an
# event that is held stops it: there is nothing else to wait for.

use strict;
use warnings;

use FindBin;
use IO::Select;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Stream;


my $silence = $ENV{TEST_NGINX_SILENCE} || 92;

my $t = ArmorIQ->new(ports => 2);

my $key = $t->init_store(mcps => [ qw/ten-mcp eleven-mcp small-mcp/ ],
                         policy => { allow => [ '*' ],
                                     deny => [ 'hidden.*' ] });

$t->{upstream_port} = stream_port();

$t->run(<<'EOF');
%%ARMORIQ%%

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

armoriq on;
proxy_read_timeout 2m;
send_timeout 2m;

server {
    listen 127.0.0.1:%%PORT0%%;
    listen 127.0.0.1:%%PORT1%% http2;

    gzip on;
    gzip_types text/event-stream;
    gzip_proxied any;

    location /ten    { armoriq_mcp ten-mcp; proxy_pass http://infra; }
    location /eleven { armoriq_mcp eleven-mcp; proxy_pass http://infra;
                       proxy_http_version 1.1;
                       proxy_set_header Connection ""; }
    location /small  { armoriq_mcp small-mcp; proxy_pass http://infra;
                       proxy_http_version 1.1; armoriq_max_list 2k; }
}
EOF

my @steps = map { { action => 'tool', mcp => $_, max_uses => 100000 } }
    qw/ten-mcp eleven-mcp small-mcp/;
my $token = $t->issue_token(seconds => 600, plan =>
    { goal => 'stream', steps => \@steps })->{jws};

my $sse = "Content-Type: text/event-stream\r\n";

# kinds of streams; tools/call is not looked into

my %kinds = (
    call => { method => 'tools/call', params => { name => 'tool',
                                                  arguments => {} } },
    list => { method => 'tools/list' },
    get => undef,
);

# over, location, kind, modern, headers

sub open_stream {
    my (%o) = @_;
    my $over = $o{over} || 1;
    my $location = $o{location} || 'eleven';
    my $rpc = $kinds{ $o{kind} || 'call' };
    my $headers = "Authorization: Bearer $token\r\n"
        . "Accept: application/json, text/event-stream\r\n"
        . "Accept-Encoding: gzip\r\n" . ($o{headers} || '');
    my $body;

    if ($rpc) {
        my %rpc = (jsonrpc => '2.0', id => 'id-1', %$rpc);

        if ($o{modern}) {
            $rpc{params} = { %{ $rpc{params} || {} }, _meta => {
                'io.modelcontextprotocol/protocolVersion' => '2026-07-28' } };

            $headers .= "MCP-Protocol-Version: 2026-07-28\r\n"
                . "Mcp-Method: $rpc{method}\r\n"
                . ($rpc{params}{name} ? "Mcp-Name: $rpc{params}{name}\r\n"
                                      : '');
        }

        $body = json_text(\%rpc);
        $headers .= "Content-Type: application/json\r\n";
    }

    return stream($t->port($over - 1), over => $over, body => $body,
                  method => $o{http} || ($rpc ? 'POST' : 'GET'),
                  path => "/$location", headers => $headers,
                  chunked => $location ne 'ten');
}

my $outcomes = 0;

# the OUTCOME that was written since the last time

sub outcome {
    for (1 .. 500) {
        my @all = $t->audit_records('OUTCOME');

        if (@all > $outcomes) {
            $outcomes = @all;
            return $all[-1]{status};
        }

        sleep 0.02;
    }

    return 'none';
}

sub rss {
    my ($pid) = @_;

    open my $f, '<', "/proc/$pid/status" or return 0;
    my ($kb) = join('', <$f>) =~ /^VmRSS:\s+(\d+)/m;

    return $kb * 1024;
}

my $event = "id: %d\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%d}\n\n";

my $hidden = '{"name":"hidden.tool"}';
my $shown = '{"name":"tool"}';
my $lists = "data: {\"id\":1,\"result\":{\"tools\":[$hidden,$shown]}}\n\n";
my $listed = $lists =~ s/\Q$hidden\E,//r;


# a stream that is silent while all else is tested

my %silent = map { $_ => open_stream(kind => $_) } qw/call get/;

for (values %silent) {
    $_->answer(200, $sse);
    $_->pass(": first\n\n");
}

my $since = time();


# one event after the other

for my $over (1, 2) {
    for my $location (qw/ten eleven/) {
        for my $kind (sort keys %kinds) {
            for my $modern (0, 1) {
                next if $modern && $kind eq 'get';

                my $name = "$kind, HTTP/$over, location /$location"
                    . ($modern ? ', 2026-07-28' : '');
                my $s = open_stream(over => $over, location => $location,
                                    kind => $kind, modern => $modern);
                my @got;

                ok($s->answer(200, $sse), "the header goes first: $name");
                is($s->{head} =~ /^content-encoding/mi ? 1 : 0, 0,
                   'and is not that of a compressed answer');
                like($s->{head}, qr/^x-accel-buffering: no\r?$/mi,
                     'nor to be held by the next proxy');

                push @got, $s->pass(sprintf $event, $_, $_) for 1 .. 4;

                is(join('', @got), join('', map { sprintf $event, $_, $_ }
                                            1 .. 4), 'each event when sent');
                ok($s->end(), 'and the end');
                is(outcome(), 'executed', 'OUTCOME');
            }
        }
    }
}

my $s = open_stream();

$s->answer(200, $sse . "X-Accel-Buffering: yes\r\n");
is($s->pass(": 1\n\n"), ": 1\n\n", 'a server does not ask for buffers');
ok($s->end(), 'to the end');
outcome();


# bytes

my $odd = "\xef\xbb\xbfdata: {\"a\":1}\n\n: comment\r\n\r\nid: 1\rretry: 10\r"
    . "data: \r\r\r\ndata:{\r\ndata: \"b\" : [1 ,2]\r\ndata\r\ndata:}\r\n"
    . "event: x\r\nid\r\nunknown: data: {\r\n\r\ndata: [1]\r\rdatab: x\n"
    . "dat\n data: 5\n\n\n\ndata: null\nid: \xc3\xa9\n\n";

for my $kind (sort keys %kinds) {
    my $s = open_stream(kind => $kind);

    $s->answer(200, $sse);
    is($s->pass($odd), $odd, "all at once: $kind");
    $s->end();
    outcome();

    $s = open_stream(kind => $kind);
    $s->answer(200, $sse);
    $s->put($s->chunk($_)) for split //, $odd;
    is($s->pass('', length $odd), $odd, "byte by byte: $kind");
    ok($s->end(), 'to the end');
    outcome();
}

# an event is there with the first byte of the end of its blank line

for my $end ("\n\n", "\r\r", "\r\n\r\n") {
    my $name = $end =~ s/\r/CR/gr =~ s/\n/LF/gr;

    my $s = open_stream(kind => 'get');
    my $event = 'data: {}' . $end =~ s/\r\n\z/\r/r;

    $s->answer(200, $sse);
    is($s->pass($event), $event, "an event ends with $name");

    if ($end =~ /\n\z/ && $end =~ /\r/) {
        is($s->pass("\n"), "\n", 'and the rest is not held either');
    }

    is($s->pass(": ping\n"), ": ping\n", 'nor is a line that is a comment');
    is($s->pass("id: 3\nevent"), "id: 3\nevent", 'nor what is no data');
    $s->put($s->chunk("\ndata: {\"id\":1}"));
    is($s->pass("\n\n", 17), "\ndata: {\"id\":1}\n\n", 'data is');
    $s->end();
    outcome();
}


# lists in streams

for my $over (1, 2) {
    for my $kind (qw/list get/) {
        my $s = open_stream(over => $over, kind => $kind);

        $s->answer(200, $sse);
        is($s->pass($lists, length $listed), $listed,
           "a list: $kind, HTTP/$over");
        is($s->pass(sprintf $event, 1, 1), sprintf($event, 1, 1),
           'and what comes after it');
        $s->end();
        outcome();
    }
}

$s = open_stream(kind => 'call');
$s->answer(200, $sse);
is($s->pass($lists), $lists, 'the answer to tools/call is not looked into');
$s->end();
outcome();


# a request of the server on a stream, answered while it is open

$s = open_stream();
$s->answer(200, $sse);
$s->pass("data: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\n\n");

my $reply = stream($t->port(0), path => '/eleven', chunked => 1,
    body => '{"jsonrpc":"2.0","id":9,"result":{}}',
    headers => "Authorization: Bearer $token\r\n"
               . "Content-Type: application/json\r\n");

is($reply->{request}{body}, '{"jsonrpc":"2.0","id":9,"result":{}}',
   'an answer to the server passes an open stream');
$reply->put("HTTP/1.1 202 X\r\nTransfer-Encoding: chunked\r\n\r\n");
$reply->end();
is($reply->{status}, 202, 'and is accepted');
is(outcome(), 'executed', 'OUTCOME');
is($s->pass(": 2\n\n"), ": 2\n\n", 'and the stream goes on');
$s->end();
outcome();


# DELETE

$s = open_stream(kind => 'get', http => 'DELETE');
is($s->{request}{method}, 'DELETE', 'DELETE');
$s->put("HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"
        . "Content-Length: 22\r\n\r\n" . '{"result":{"tools":1}}');
$s->end();
is($s->{body}, '{"result":{"tools":1}}', 'its answer is not looked into');
outcome();


# 5 MB

my ($worker) = $t->workers();
my $large = 'data: {"jsonrpc":"2.0","id":1,"result":{"content":"'
    . join('', map { sprintf '%07d ', $_ } 1 .. 5 * 128 * 1024) . "\"}}\n\n";

for my $over (1, 2) {
    for my $location (qw/ten eleven/) {
        my $s = open_stream(over => $over, location => $location);
        my $before = rss($worker);

        $s->answer(200, $sse);
        ok($s->pass($large) eq $large,
           "an event of 5 MB, HTTP/$over, location /$location");
        cmp_ok(rss($worker) - $before, '<', 3 << 20, 'is not kept');
        is($s->pass(": x\n\n"), ": x\n\n", 'and the next one');
        ok($s->end(), 'and the end');
        is(outcome(), 'executed', 'OUTCOME');
    }
}

for my $kind (qw/list get/) {
    my $s = open_stream(kind => $kind, location => 'small');
    my $most = 'data: {"a":"' . 'x' x (2048 - 16) . "\"}\n\n";

    $s->answer(200, $sse);
    is($s->pass($most), $most, "armoriq_max_list: $kind");
    $s->pass(": $most" x 3, 3 * (2 + length $most));
    $s->put($s->chunk('data:  ' . substr $most, 6));
    ok($s->server_left(), 'one byte more ends it for the server');
    $s->wait_for(sub { $s->{closed} });
    ok($s->{closed} && !$s->{done}, 'and for the client, which sees that');
    is($s->taken(), '', 'and nothing of it');
    is(outcome(), 'upstream_error', 'OUTCOME');
}

like($t->read('error.log'), qr/\[error\].*an event is too long/,
     'and says so in the log');


# a client that does not read: the server is slowed down, nothing is piled up

for my $over (1, 2) {
    my $s = open_stream(over => $over, kind => 'get');
    my $before = rss($worker);
    my $piece = 'data: {"a":"' . 'y' x 200000 . "\"}\n\n$lists";
    my $chunk = $s->chunk($piece);
    my ($n, $off) = (0, 0);

    $s->answer(200, $sse);

    # until nothing can be written for a second: what is behind is full

    while ($n < 300 && IO::Select->new($s->{up})->can_write(1)) {
        my $done = syswrite $s->{up}, $chunk, length($chunk) - $off, $off
            or last;

        $off += $done;
        ($n, $off) = ($n + 1, 0) if $off == length $chunk;
    }

    cmp_ok($n, '<', 300, "a slow client, HTTP/$over: $n events are under way");
    cmp_ok(rss($worker) - $before, '<', 4 << 20, 'none is piled up');

    $s->put(substr $chunk, $off) if $off;
    $n++ if $off;

    my $all = ($piece =~ s/\Q$hidden\E,//r) x $n;

    ok($s->pass(": x\n\n", 5 + length $all) eq "$all: x\n\n",
       'all have come when it reads');
    ok($s->end(), 'and the end');
    outcome();
}


# who leaves

for my $over (1, 2) {
    for my $location (qw/ten eleven/) {
        for my $kind (sort keys %kinds) {
            my $name = "$kind, HTTP/$over, location /$location";
            my $s = open_stream(over => $over, location => $location,
                                kind => $kind);

            $s->answer(200, $sse);
            $s->pass(": 1\n\n");
            $s->leave();

            ok($s->server_left(), "the client leaves, the server learns it:"
               . " $name");
            is(outcome(), 'client_abort', 'OUTCOME');
        }
    }
}

for my $kind (sort keys %kinds) {
    my $s = open_stream(kind => $kind);

    $s->answer(200, $sse);
    $s->pass(": 1\n\n");
    $s->put($s->chunk('data: {"a":'));
    ok($s->break(), "the server leaves, the client learns it: $kind");
    is($s->taken(), $kind eq 'call' ? 'data: {"a":' : '',
       'and has got no half event that was looked into');
    is(outcome(), 'upstream_error', 'OUTCOME');
}

$s = open_stream();
$s->leave();
ok($s->server_left(), 'the client leaves before there is an answer');
is(outcome(), 'client_abort', 'OUTCOME');


# an error in place of a stream that goes on

for my $over (1, 2) {
    for my $location (qw/ten eleven/) {
        my $s = open_stream(over => $over, location => $location,
                            kind => 'list');

        $s->answer(200, "${sse}Content-Encoding: br\r\n");
        $s->wait_for(sub { $s->{done} });

        my $e = json_value($s->{body});

        is_deeply([ $s->{status}, $e->{id}, $e->{error}{data}{reason} ],
                  [ 502, 'id-1', 'LIST_INVALID' ], 'a stream that is'
                  . " compressed, HTTP/$over, location /$location");
        ok($s->server_left(), 'is not waited for');
        outcome();
    }
}


# an answer in one piece

my $json = '{"id":1,"result":{"tools":[' . "$hidden,$shown]}}";

for my $over (1, 2) {
    for my $location (qw/ten eleven/) {
        my $s = open_stream(over => $over, location => $location,
                            kind => 'list');

        $s->put("HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"
                . ($s->{chunked} ? "Transfer-Encoding: chunked\r\n" : '')
                . "\r\n");
        $s->put($s->chunk($_)) for split //, $json;
        ok($s->end(), "byte by byte, HTTP/$over, location /$location");
        is($s->{body}, $json =~ s/\Q$hidden\E,//r, 'the list');
        is(outcome(), 'executed', 'OUTCOME');

        for my $buffering ('yes', 'no') {
            my $s = open_stream(over => $over, location => $location,
                                kind => 'list');

            $s->put("HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"
                    . "X-Accel-Buffering: $buffering\r\n"
                    . ($s->{chunked} ? "Transfer-Encoding: chunked\r\n"
                                     : "Content-Length: 1000\r\n") . "\r\n");
            $s->put($s->chunk(substr $json, 0, 40));
            $s->break();

            my $e = json_value($s->{body});

            is_deeply([ $s->{status}, $e->{id}, $e->{error}{data}{reason} ],
                      [ 502, 'id-1', 'LIST_INVALID' ],
                      'a list that was cut off, X-Accel-Buffering: '
                      . $buffering);
            is(outcome(), 'upstream_error', 'OUTCOME');
        }

        $s = open_stream(over => $over, location => $location,
                         kind => 'list');
        $s->put("HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"
                . "Content-Length: 1000\r\n\r\n{");
        $s->leave();
        ok($s->server_left(), 'the client leaves before the list is whole');
        is(outcome(), 'client_abort', 'OUTCOME');
    }
}

# a length that says too much at once, and one that is not said

for my $length ("Content-Length: 4000\r\n", '') {
    for my $buffering ('yes', 'no') {
        my $s = open_stream(kind => 'list', location => 'small');

        $s->{chunked} = !$length;
        $s->put("HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"
                . "X-Accel-Buffering: $buffering\r\n$length"
                . ($length ? '' : "Transfer-Encoding: chunked\r\n") . "\r\n");
        $s->put($s->chunk('x' x 4000));
        $s->end();

        my $e = json_value($s->{body});

        is_deeply([ $s->{status}, $e->{error}{data}{reason} ],
                  [ 502, 'LIST_INVALID' ], 'a list that is too long, '
                  . ($length ? 'with' : 'without') . ' a length');
        outcome();
    }
}


# nginx reads its configuration again

my %old = map { $_ => open_stream(kind => $_) } sort keys %kinds;

$old{$_}->answer(200, $sse) for keys %old;

my %before = map { $_ => 1 } $t->workers();

$t->reload();

my @new = grep { !$before{$_} } $t->workers();

is(scalar @new, 1, 'a new worker');
ok((grep { $before{$_} } $t->workers()), 'and the old one is there');

$s = open_stream();
$s->answer(200, $sse);
is($s->pass(": x\n\n"), ": x\n\n", 'a new stream');
ok($s->end(), 'to its end');
is(outcome(), 'executed', 'OUTCOME');

for my $kind (sort keys %old) {
    my $s = $old{$kind};

    is($s->pass(sprintf $event, 1, 1), sprintf($event, 1, 1),
       "a stream goes on: $kind");
    is($s->pass($lists, $kind eq 'call' ? length $lists : length $listed),
       $kind eq 'call' ? $lists : $listed, 'as before');
    ok($s->end(), 'to its end');
    is(outcome(), 'executed', 'OUTCOME');
}


# and the silent ones

my $left = $since + $silence - time();

sleep $left if $left > 0;

for my $kind (sort keys %silent) {
    my $s = $silent{$kind};

    is($s->pass(sprintf $event, 2, 2), sprintf($event, 2, 2),
       "after $silence seconds: $kind");
    ok($s->end(), 'to its end');
    is(outcome(), 'executed', 'OUTCOME');
}


$t->done_testing();
