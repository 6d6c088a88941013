#!/usr/bin/perl

# Guards what an OUTCOME says of an answer: the hash of the bytes that the
# server has sent, made here from what was sent and from the format, and not
# by our code; how many there were, whether that was all, and what the
# JSON-RPC in them says.  Both ends of nginx are the test's.

use strict;
use warnings;

use FindBin;
use IO::Compress::Gzip qw/gzip/;
use POSIX ();
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Stream;


my $t = ArmorIQ->new();

my $key = $t->init_store(mcps => [ qw/mcp raw page/ ]);

$t->{upstream_port} = stream_port();

$t->run(<<'EOC');
%%ARMORIQ%%

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

armoriq on;

server {
    listen 127.0.0.1:%%PORT0%%;

    gzip on;
    gzip_types application/json;
    gzip_min_length 1;
    proxy_http_version 1.1;
    proxy_read_timeout 2s;

    location / { armoriq off; armoriq_api on; }
    location = /invoke { armoriq_invoke on; }
    location = /mcp    { armoriq_mcp mcp; proxy_pass http://infra;
                         proxy_buffers 4 4k; proxy_buffer_size 4k; }
    location = /raw    { armoriq_mcp raw; proxy_pass http://infra;
                         proxy_buffering off; }
    location = /page   { armoriq_mcp page; proxy_pass http://infra;
                         proxy_intercept_errors on;
                         error_page 503 =503 /none; }
    location = /none   { armoriq off; return 204; }
}
EOC

my $token = $t->issue_token(seconds => 600, plan => { goal => 'outcome',
    steps => [ map { { action => 'call', mcp => $_, max_uses => 1000 } }
               qw/mcp raw page/ ]
})->{jws};

my $json = "Content-Type: application/json\r\n";
my $sse = "Content-Type: text/event-stream\r\n";
my $ok = '{"jsonrpc":"2.0","id":"a/1","result":{"content":[]}}';
my $failed = '{"jsonrpc":"2.0","id":"a/1","error":{"code":-32602,'
    . '"message":"no"}}';
my $tool_failed = '{"jsonrpc":"2.0","id":"a\/1","result":{"content":[],'
    . '"isError":true}}';
my $note = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
    . "\"notifications/progress\",\"params\":{\"progress\":1}}\n\n";

my $outcomes = 0;


# answers in one piece

for my $path ('/mcp', '/raw') {
    answered($path, 'a result', $json, $ok, {});
    answered($path, 'an error', $json, $failed, { rpc_err => -32602 });
    answered($path, 'a tool that failed', $json, $tool_failed,
             { is_error => 1 });
    answered($path, 'an error with status 500', $json, $failed,
             { rpc_err => -32602, http => 500 }, status => 500);
    answered($path, 'an error to nobody', $json,
             '{"jsonrpc":"2.0","id":null,"error":{"code":-32700}}',
             { rpc_err => -32700 });
    answered($path, 'in an array', $json, "[$ok, $failed]", {});
    answered($path, 'the answer to something else', $json,
             '{"jsonrpc":"2.0","id":7,"error":{"code":1}}',
             { rpc_unread => 'absent' });
    answered($path, 'no JSON', $json, 'out of order',
             { rpc_unread => 'invalid' });
    answered($path, 'a code that is none', $json,
             '{"jsonrpc":"2.0","id":"a/1","error":{"code":"1"}}',
             { rpc_unread => 'invalid' });
    answered($path, 'a page', "Content-Type: text/html\r\n", '<html>',
             { rpc_unread => 'type' });
    answered($path, 'bytes', $json, join('', map { chr } 0 .. 255),
             { rpc_unread => 'invalid' });
    answered($path, 'chunks', $json, $failed, { rpc_err => -32602 },
             chunked => 1);
    answered($path, 'nothing', $json, '', {});
    answered($path, '204', '', '', { http => 204 }, status => 204,
             bare => 1);
    answered($path, '304', '', '', { http => 304 }, status => 304,
             bare => 1);
    answered($path, 'without an announced end', $json, $failed,
             { rpc_err => -32602 }, close => 1);

    my $large = '{"jsonrpc":"2.0","id":"a/1","result":{"content":"'
        . join('', map { sprintf '%07d ', $_ } 1 .. 128 * 1024) . '"}}';

    answered($path, '1 MB', $json, $large, { rpc_unread => 'size' });
    answered($path, '1 MB in chunks', $json, $large,
             { rpc_unread => 'size' }, chunked => 1);

    my $just = '{"jsonrpc":"2.0","id":"a/1","result":{"isError":true,"x":"';

    answered($path, "64 KB $_->[0]", $json,
             $just . 'x' x ($_->[1] - 3 - length $just) . '"}}', $_->[2])
        for [ 'and no more', 65536, { is_error => 1 } ],
            [ 'and one more', 65537, { rpc_unread => 'size' } ];

    gzip(\$failed, \my $packed) or die;

    answered($path, 'compressed', "${json}Content-Encoding: gzip\r\n",
             $packed, { rpc_unread => 'encoded' });

    # event streams

    answered($path, 'a stream', $sse, "data: $ok\n\n", {}, chunked => 1);
    answered($path, 'notifications before', $sse,
             ": ping\n\n$note${note}id: 7\ndata: $failed\n\n$note",
             { rpc_err => -32602 }, chunked => 1);
    answered($path, 'of more lines', $sse, "${note}data: "
             . ($tool_failed =~ s/,/,\r\ndata: /gr) . "\r\n\r\n",
             { is_error => 1 }, chunked => 1);
    answered($path, 'no blank line', $sse, "data: $failed",
             { rpc_err => -32602 }, chunked => 1);
    answered($path, 'no answer in it', $sse, $note,
             { rpc_unread => 'absent' }, chunked => 1);
    answered($path, 'an error to nobody in it', $sse,
             "data: {\"id\":null,\"error\":{\"code\":1}}\n\n",
             { rpc_unread => 'absent' }, chunked => 1);
    answered($path, 'a long one before', $sse,
             'data: {"x":"' . 'x' x 70000 . "\"}\n\ndata: $failed\n\n",
             { rpc_err => -32602 }, chunked => 1);
    answered($path, 'a long one', $sse, "data: $large\n\n",
             { rpc_unread => 'size' }, chunked => 1);
    answered($path, '2 MB of events', $sse,
             $note x (2 * 1024 * 1024 / length $note) . "data: $failed\n\n",
             { rpc_err => -32602 }, chunked => 1);
}

# lists are filtered: the record has what the server sent

my $list = '{"jsonrpc":"2.0","id":"a/1","result":{"tools":[{"name":"call"},'
    . '{"name":"unplanned"}]}}';
my $s = ask('/mcp', method => 'tools/list');

$s->put("HTTP/1.1 200 X\r\n${json}Content-Length: " . length($list)
        . "\r\n\r\n$list");
$s->end();

unlike($s->{body}, qr/unplanned/, 'a list is filtered');
same(outcome(), $list, {}, 'a list');

# notifications have no answer

$s = ask('/mcp', method => 'notifications/initialized', id => undef);
$s->put("HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
$s->end();
same(outcome(), '', { http => 202 }, 'a notification');


# answers that do not end

for my $path ('/mcp', '/raw') {
    for (0, 10, length($failed) - 1) {
        my $part = substr $failed, 0, $_;

        $s = ask($path);
        $s->put("HTTP/1.1 200 X\r\n${json}Content-Length: "
                . length($failed) . "\r\n\r\n$part");
        $s->break();

        my $o = outcome();

        is($o->{status}, 'upstream_error', "$path: cut off after $_ bytes");
        same($o, $part, { trunc => 1, status => 'upstream_error' },
             'what there was');
    }

    $s = ask($path, chunked => 1);
    $s->answer(200, $sse);
    $s->pass("data: $failed\n\n");
    $s->leave();

    my $o = outcome();

    is($o->{status}, 'client_abort', "$path: the client leaves a stream");
    same($o, "data: $failed\n\n", { rpc_err => -32602, trunc => 1,
                                    status => 'client_abort' },
         'with what it had got');
}

# as much as nginx had passed on, when the client left or the server fell silent

my $long = '{"jsonrpc":"2.0","id":"a/1","result":{"content":"'
    . join('', map { sprintf '%07d ', $_ } 1 .. 512 * 1024) . '"}}';

for my $path ('/mcp', '/raw') {
    $s = ask($path);
    $s->put("HTTP/1.1 200 X\r\n${json}Content-Length: " . length($long)
            . "\r\n\r\n" . substr $long, 0, 100000);
    $s->wait_for(sub { $s->{status} });
    $s->leave();

    my $off = 100000;

    while ($off < length $long) {
        my $n = syswrite $s->{up}, $long, 65536, $off;

        if (defined $n) {
            $off += $n;

        } elsif ($!{EAGAIN}) {
            sleep 0.01;

        } else {
            last;
        }
    }

    close delete $s->{up};

    my $o = outcome();
    my $there = substr $long, 0, $o->{res_len};

    same($o, $there, { trunc => 1, status => 'client_abort' },
         "$path: the client leaves a long answer");
    cmp_ok($o->{res_len}, '<', length $long, 'with a part of it');

    $s = ask($path);
    $s->put("HTTP/1.1 200 X\r\n${json}Content-Length: 100\r\n\r\n{");
    $s->wait_for(sub { $s->{closed} });
    $s->leave();
    $o = outcome();

    # what lay in a buffer has not been passed on

    same($o, substr('{', 0, $o->{res_len}),
         { trunc => 1, status => 'upstream_error' },
         "$path: the server falls silent");
}

# a stream is cut in the middle of an event: what was there is not the answer

$s = ask('/raw', chunked => 1);
$s->answer(200, $sse);
$s->pass($note);
$s->put($s->chunk("data: $failed"));
$s->break();
same(outcome(), "${note}data: $failed", { trunc => 1,
                                          status => 'upstream_error' },
     'a stream that is cut off');


# what nginx says itself is no answer of the server

$s = ask('/page');
$s->put("HTTP/1.1 503 X\r\n${json}Content-Length: " . length($failed)
        . "\r\n\r\n$failed");
$s->end();

my $o = outcome();

ok(!exists $o->{res_h} && !exists $o->{res_len} && !exists $o->{rpc_err}
   && !exists $o->{trunc}, 'a page of nginx in place of the answer');

$s = ask('/mcp');
$s->break();
$o = outcome();

is($o->{status}, 'upstream_error', 'no answer');
ok(!exists $o->{res_h} && !exists $o->{res_len} && !exists $o->{trunc},
   'so there is nothing to say of it');


# requests: arguments and bodies

my $args = { b => [ 1, 'x' ], a => "\x{e9}" };
my $body = "{\"jsonrpc\":\"2.0\", \"id\":1,\n\"method\":\"tools/call\","
    . "\"params\":{\"arguments\":{\"b\":[1.0, \"x\"],\"a\":\"\\u00e9\"},"
    . "\"name\":\"call\"}}";

for my $tool ('call', 'unplanned') {
    my $sent = $body =~ s/"call"/"$tool"/r;

    if ($tool eq 'call') {
        $s = ask('/mcp', body => $sent);
        $s->put("HTTP/1.1 200 X\r\n${json}Content-Length: "
                . length($ok) . "\r\n\r\n$ok");
        $s->end();
        outcome();

    } else {
        http($t->port(0), '/mcp', body => $sent, headers =>
             "Authorization: Bearer $token\r\n$json");
    }

    my ($intent) = reverse grep { $_->{tool} eq $tool } intents($tool);

    is($intent->{args_h}, $t->salted('args', '{"a":"' . "\xc3\xa9"
                                             . '","b":[1,"x"]}'),
       "args_h of \"$tool\" is that of the canonical form");
    is($intent->{req_h}, $t->salted('body', $sent), 'req_h that of the bytes');
    is($intent->{salt}, 1, 'under the first salt');
}

my $raw = json_text([ $t->audit_records() ]);

unlike($raw, qr/\Q$_->[1]\E/, "no plain hash of $_->[0]")
    for [ 'arguments', sha('{"a":"' . "\xc3\xa9" . '","b":[1,"x"]}') ],
        [ 'a body', sha($body) ], [ 'an answer', sha($ok) ],
        [ 'an answer with an error', sha($failed) ];


# what is known can be looked for

my @match = ('audit', 'match', $t->audit(), '--store', $t->store(), '--org',
             'example');

is(matched('{"a":"\u00e9", "b": [1,"x"]}'), 2, 'arguments that are known');
is(matched('{"a":"e", "b": [1,"x"]}'), 0, 'others');
is(matched($body, '--body'), 1, 'a body that is known');
cmp_ok(matched($ok, '--result'), '>=', 2, 'an answer that is known');

like(($t->ctl('org', 'resalt', '--store', $t->store(), 'example'))[1],
     qr/salt 2/, 'another salt');

sleep 0.01;
answered('/mcp', 'after that', $json, $ok, {}, salt => 2);
is(matched($body, '--body'), 1, 'what is older is found as before');

$t->ctl_ok('org', 'forget', '--store', $t->store(), 'example', '--all');
is(matched($body, '--body'), 0, 'and never again, once salts are erased');
is(($t->audit_verify())[0], 0, 'the log does not mind');

# a page that is free may have it, a copy has no free pages

my $old = $t->{salts}{1};

delete $t->{salts};
$t->salted('body', '');
$t->ctl_ok('store', 'backup', '--store', $t->store(), $t->dir() . '/backup');

my $backup = $t->read('backup/data.mdb');

ok(index($backup, $old) < 0, 'a backup has no salt that was erased');
ok(index($backup, $t->{salts}{3}) > 0, 'but the one in use');

answered('/mcp', 'with a third one', $json, $ok, {}, salt => 3);


my @org = ('org', 'forget', '--store', $t->store(), 'example');

is(($t->ctl(@org))[0], 2, 'which salts to erase has to be said');
is(($t->ctl(@org, '--all', '--until', 1))[0], 2, 'once');
is(($t->ctl(@org, '--until', 3))[0], 2, 'not the one in use');
is(($t->ctl(@org, '--until', 2))[0], 1, 'nor those that are gone');
unlike(($t->ctl('org', 'salts', '--store', $t->store(), 'example'))[1],
       qr/[0-9a-f]{64}/, 'salts are not shown unasked');


# POST /invoke: what the MCP server says to the call that we make of it

my $plan = ArmorIQ::plan(mcp => 'mcp', steps => [ [ 'call', { a => 1 } ] ]);

for ([ 'a result', 'result', {}, {} ],
     [ 'an error', 'error', { code => -32050, message => 'no' },
       { rpc_err => -32050 } ])
{
    my ($name, $member, $value, $want) = @$_;
    my $client = $t->invoke_later('call', { a => 1 }, plan => $plan,
        mcp => 'mcp', token => $t->request_token(plan => $plan));
    my $reply = served($member, $value);

    waitpid $client, 0;
    same(outcome(), $reply, $want, "/invoke: $name", 3);
}


# whose org is not known

http($t->port(0), '/mcp', body => $body, headers => $json);

my ($unknown) = reverse intents(undef, 'IDENTITY_MISSING');

ok($unknown && !exists $unknown->{org} && !exists $unknown->{req_h}
   && !exists $unknown->{args_h} && !exists $unknown->{salt},
   'without an org there is no salt, and no hash');

$t->done_testing();


# the same as invoke(), by a process of its own

sub ArmorIQ::invoke_later {
    my ($self, @args) = @_;
    my $pid = fork;

    die "fork: $!" if !defined $pid;
    return $pid if $pid;

    $self->invoke(@args);
    POSIX::_exit(0);
}

# asks, answers, and compares the record

sub answered {
    my ($path, $name, $headers, $bytes, $want, %o) = @_;
    my $s = ask($path, chunked => $o{chunked});
    my $status = $o{status} || 200;

    if ($o{chunked}) {
        $s->put("HTTP/1.1 $status X\r\n$headers"
                . "Transfer-Encoding: chunked\r\n\r\n");

        for (my $at = 0; $at < length $bytes; $at += 50000) {
            $s->put($s->chunk(substr $bytes, $at, 50000));
        }

    } else {
        $s->put("HTTP/1.1 $status X\r\n$headers"
                . ($o{bare} ? "\r\n" : $o{close} ? "Connection: close\r\n\r\n"
                   : 'Content-Length: ' . length($bytes) . "\r\n\r\n")
                . $bytes);
    }

    # there is no body, so there is nothing else to wait for

    if ($o{bare}) {
        $s->wait_for(sub { $s->{status} });
        $s->leave();

    } else {
        $s->end();
    }

    same(outcome(), $bytes, $want, "$path: $name", $o{salt});
}

sub same {
    my ($o, $bytes, $want, $name, $salt) = @_;
    my %got = map { $_ => $o->{$_} } grep { exists $o->{$_} }
              qw/http status res_h res_len rpc_err is_error rpc_unread trunc
                 salt/;

    $got{$_} = $got{$_} ? 1 : 0 for grep { exists $got{$_} }
                                qw/is_error trunc/;

    is_deeply(\%got, {
        http => 200, status => 'executed', res_len => length $bytes,
        res_h => $t->salted('result', $bytes, $salt || 1),
        salt => $salt || 1, %$want,
    }, $name);
}

sub ask {
    my ($path, %o) = @_;
    my %rpc = (jsonrpc => '2.0', method => $o{method} || 'tools/call',
               exists $o{id} ? () : (id => 'a/1'),
               $o{method} ? () : (params => { name => 'call',
                                              arguments => {} }));

    return stream($t->port(0), path => $path, chunked => $o{chunked},
        body => $o{body} || json_text(\%rpc),
        headers => "Authorization: Bearer $token\r\n$json"
                   . "Accept: application/json, text/event-stream\r\n");
}

# An MCP server for one envelope: handshake and call.  Returns the answer.

sub served {
    my ($member, $value) = @_;

    while (1) {
        my $s = accepted();
        my $rpc = json_value($s->{request}{body});
        my $id = $rpc->{id};
        my $call = $rpc->{method} eq 'tools/call';

        my $text = !defined $id ? '' : json_text({ jsonrpc => '2.0',
            id => $id, $call ? ($member => $value) : (result => {
                protocolVersion => $rpc->{params}{protocolVersion},
                capabilities => {},
                serverInfo => { name => 'x', version => '1' } }) });

        $s->put('HTTP/1.1 ' . (defined $id ? 200 : 202) . " X\r\n$json"
                . "Connection: close\r\n"
                . 'Content-Length: ' . length($text) . "\r\n\r\n$text");
        close $s->{up};

        return $text if $call;
    }
}

# the OUTCOME that was written since the last time

sub outcome {
    for (1 .. 500) {
        my @all = $t->audit_records('OUTCOME');

        if (@all > $outcomes) {
            $outcomes = @all;
            return $all[-1];
        }

        sleep 0.02;
    }

    return {};
}

sub intents {
    my ($tool, $reason) = @_;

    for (1 .. 500) {
        my @all = grep {
            defined $tool ? ($_->{tool} || '') eq $tool
                          : $_->{reason} eq $reason
        } $t->audit_records('INTENT');

        return @all if @all;

        sleep 0.02;
    }

    return;
}

sub matched {
    my ($text, @args) = @_;

    local $t->{stdin} = $t->write('known', $text);

    my (undef, $out) = $t->ctl(@match, @args, '--json');

    return scalar(() = $out =~ /^\{/mg);
}

sub sha { require Digest::SHA; return Digest::SHA::sha256_hex($_[0]) }
