#!/usr/bin/perl

# Guards the body of a call: that what is judged is what is forwarded, byte by
# byte, however it arrives (in memory, in a file, in chunks, in single bytes,
# pipelined, by HTTP/2), and that bodies which two readers could read
# differently get nowhere.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Rows;


use constant SMALL => 2000;


my $t = ArmorIQ->new(ports => 2);

my $key = $t->init_store(mcps => [ 'infra-mcp', 'small-mcp' ]);

$t->upstream();

$t->run(<<"EOF");
%%ARMORIQ%%
log_format row '\$http_x_row|\$status|\$armoriq_reason';
client_body_timeout 2s;
lingering_timeout 500ms;
client_max_body_size 4m;

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
    keepalive 4;
}

server {
    listen 127.0.0.1:%%PORT0%%;
    listen 127.0.0.1:%%PORT1%% http2;
    access_log %%DIR%%/row.log row;

    location / { armoriq_api on; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
    }

    location = /small {
        armoriq on;
        armoriq_mcp small-mcp;
        armoriq_max_body @{[SMALL]};
        proxy_pass http://infra/mcp;
    }
}
EOF

my $many = 100000;

my $plan = { goal => 'access', steps => [
    { action => 'infra.restart', mcp => 'infra-mcp',
      params => { service_id => 'payments', n => 7 } },
    { action => 'infra.list', mcp => 'infra-mcp', params => {},
      max_uses => $many },
    { action => 'infra.scale', mcp => 'infra-mcp', max_uses => $many },
    { action => 'alerts.list', mcp => 'small-mcp', max_uses => $many },
] };

my $issued = $t->request_token(plan => $plan, seconds => 600);
my $jws = $issued->{jwt_token};

ok($jws, 'token') or BAIL_OUT('no token');

my $json = "Content-Type: application/json\r\n";
my $token = "Authorization: Bearer $jws\r\n";
my $xkey = "X-API-Key: $key\r\n";
my $intent = "X-ArmorIQ-Intent: $jws\r\n";

my $list = rpc('infra.list', {});
my $n = length $list;
my $head = "POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    . $json . $token;

rows($t);


# length of the body

for (
    [ 'length and chunks', "Content-Length: $n\r\n"
                           . "Transfer-Encoding: chunked\r\n" ],
    [ 'two lengths', "Content-Length: $n\r\nContent-Length: $n\r\n" ],
    [ 'two different lengths', "Content-Length: 1\r\nContent-Length: $n\r\n" ],
    [ 'length +', "Content-Length: +$n\r\n" ],
    [ 'length -', "Content-Length: -1\r\n" ],
    [ 'length in a list', "Content-Length: $n, $n\r\n" ],
    [ 'length in hexadecimal', sprintf "Content-Length: 0x%x\r\n", $n ],
    [ 'a length too great', 'Content-Length: ' . '9' x 30 . "\r\n" ],
    [ 'a blank before the colon', "Content-Length : $n\r\n" ],
    [ 'xchunked', "Transfer-Encoding: xchunked\r\n" ],
    [ 'identity', "Transfer-Encoding: identity\r\n" ],
    [ 'a tab before chunked', "Transfer-Encoding: \tchunked\r\n" ],
    [ 'chunked, identity', "Transfer-Encoding: chunked, identity\r\n" ],
    [ 'chunked twice', "Transfer-Encoding: chunked\r\n"
                       . "Transfer-Encoding: chunked\r\n" ],
    [ 'a bad chunk size', "Transfer-Encoding: chunked\r\n", "0x5\r\n{\r\n" ],
    [ 'a chunk size too great', "Transfer-Encoding: chunked\r\n",
      'f' x 20 . "\r\n{\r\n" ],
) {
    my ($name, $headers, $body) = @$_;

    unreached("framing: $name",
              http_parse(http_raw($t->port(0), "$head$headers\r\n"
                                  . (defined $body ? $body : $list))),
              '400|501');
}

unreached('framing: chunks in HTTP/1.0', http_parse(http_raw($t->port(0),
    "POST /mcp HTTP/1.0\r\n" . $json . $token . chunked($list))), '400|501');
unreached('framing: HTTP/2.0', http_parse(http_raw($t->port(0),
    ($head =~ s/1\.1/2.0/r) . "Content-Length: $n\r\n\r\n$list")), 505);
unreached('framing: HTTP/1.2', http_parse(http_raw($t->port(0),
    ($head =~ s/1\.1/1.2/r) . "Content-Length: $n\r\n\r\n$list")),
    '400|505');
unreached('framing: HTTP/0.9', http_parse(http_raw($t->port(0),
    "GET /mcp\r\n")), '0|400|401');

refused('no length: the body is none', http_parse(http_raw($t->port(0),
            "$head\r\n$list")), 400, 'JSON_INVALID', -32700);
refused('length 0', send_body('', $json . $token),
        400, 'JSON_INVALID', -32700);
refused('a length too short', http_parse(http_raw($t->port(0),
            $head . 'Content-Length: ' . ($n - 1) . "\r\n\r\n$list")),
        400, 'JSON_INVALID', -32700);
unreached('a length too long', http_parse(http_raw($t->port(0),
            $head . 'Content-Length: ' . ($n + 1) . "\r\n\r\n$list")),
          '0|400|408');


# the text

my %text = (
    'a byte order mark' => [ "\xef\xbb\xbf$list", 'JSON_ENCODING' ],
    'UTF-16' => [ join('', map { "$_\0" } split //, $list) ],
    'a NUL behind' => [ "$list\0" ],
    'a NUL in front' => [ "\0$list" ],
    'a NUL in a string' => [ $list =~ s/infra\.list/infra.list\0/r ],
    'a NUL behind a number' => [ $list =~ s/"id":1/"id":1\0/r ],
    'an escaped NUL' => [ rpc('infra.scale', { a => "\0" }) ],
    'not UTF-8' => [ with_args('{"a":"' . "\xff" . '"}'), 'JSON_ENCODING' ],
    'overlong UTF-8' => [ with_args('{"a":"' . "\xc0\xaf" . '"}'),
                          'JSON_ENCODING' ],
    'a surrogate in UTF-8' => [ with_args('{"a":"' . "\xed\xa0\x80" . '"}'),
                                'JSON_ENCODING' ],
    'a lone surrogate' => [ with_args('{"a":"\ud800"}') ],
    'swapped surrogates' => [ with_args('{"a":"\udc00\ud800"}') ],
    'a control character' => [ with_args("{\"a\":\"\n\"}") ],
    'two documents' => [ "$list$list" ],
    'a trailing byte' => [ "${list}x" ],
    'a comment' => [ "$list//" ],
    'a trailing comma' => [ with_args('{"a":1,}') ],
    'NaN' => [ with_args('{"a":NaN}') ],
    'Infinity' => [ with_args('{"a":-Infinity}') ],
    'a leading zero' => [ with_args('{"a":01}') ],
    'single quotes' => [ with_args("{'a':1}") ],
    'half of it' => [ substr($list, 0, $n / 2) ],
    'a word' => [ 'null', 'JSON_NOT_OBJECT', -32600 ],
    'a string' => [ '"tools/call"', 'JSON_NOT_OBJECT', -32600 ],
    'a key twice' => [ $list =~ s/"id":1/"id":1,"id":2/r,
                       'JSON_DUPLICATE_KEY', -32600 ],
    'the method twice' => [
        $list =~ s/\{/{"method":"tools\/list",/r,
        'JSON_DUPLICATE_KEY', -32600 ],
    'the name twice, once in escapes' => [
        $list =~ s/"name"/"n\\u0061me":"infra.kill","name"/r,
        'JSON_DUPLICATE_KEY', -32600 ],
    'a key twice within arguments' => [
        with_args('{"a":[{"b":1,"b":2}]}'), 'JSON_DUPLICATE_KEY', -32600 ],
    '2^53' => [ with_args('{"a":9007199254740992}'), 'JSON_NUMBER', -32600 ],
    '-2^53' => [ with_args('{"a":-9007199254740992}'),
                 'JSON_NUMBER', -32600 ],
    '1e400' => [ with_args('{"a":1e400}'), 'JSON_NUMBER', -32600 ],
    '300 digits' => [ with_args('{"a":' . '9' x 300 . '}'),
                      'JSON_NUMBER', -32600 ],
    'nested too deeply' => [ with_args('{"a":' . '[' x 70 . ']' x 70 . '}'),
                             'JSON_TOO_DEEP', -32600 ],
);

for my $name (sort keys %text) {
    my ($body, $reason, $code) = @{ $text{$name} };

    refused("JSON: $name", send_body($body, $json . $token), 400,
            $reason || qr/^JSON_(INVALID|ENCODING)$/, $code || -32700);
}

permitted('JSON: 2^53 - 1',
          send_body(with_args('{"a":9007199254740991}'), $json . $token));
permitted('JSON: blanks around', send_body(" \r\n\t$list \n",
                                           $json . $token));

for ([ 'a batch', "[$list]" ], [ 'an empty batch', '[]' ],
     [ 'a batch behind blanks', " \n\t[$list]" ],
     [ 'a batch of two', "[$list,$list]" ], [ 'a batch in one', "[[$list]]" ])
{
    refused($_->[0], send_body($_->[1], $json . $token),
            400, 'BATCH_NOT_ALLOWED', -32600);
}

for (
    [ 'Method', $list =~ s/"method"/"Method":"tools\/list","method"/r ],
    [ 'Name', $list =~ s/"name"/"Name":"infra.kill","name"/r ],
    [ 'ARGUMENTS', $list =~ s/"arguments"/"ARGUMENTS":{},"arguments"/r ],
    [ 'a long s', $list =~ s/"params"/"param\xc5\xbf":{},"params"/r ],
    [ 'a long s in escapes', $list =~ s/"params"/"param\\u017f":{},"params"/r ],
    [ 'Task', $list =~ s/"arguments"/"tas\xe2\x84\xaa":{},"arguments"/r ],
) {
    refused("two ways to read it: $_->[0]",
            send_body($_->[1], $json . $token), 400, 'RPC_AMBIGUOUS', -32600);
}

for (
    [ 'another version', $list =~ s/2\.0/1.0/r ],
    [ 'no version', $list =~ s/"jsonrpc":"2\.0",//r ],
    [ 'a request that is a response', $list =~ s/\{/{"result":{},/r ],
    [ 'a request that is an error', $list =~ s/\{/{"error":{},/r ],
    [ 'an unknown member', $list =~ s/\{/{"x":1,/r ],
    [ 'an unknown parameter', $list =~ s/"name"/"x":1,"name"/r ],
    [ 'params as an array', $list =~ s/"params":.*/"params":["infra.list"]}/r ],
    [ 'no params', '{"jsonrpc":"2.0","id":1,"method":"tools/call"}' ],
    [ 'no name', $list =~ s/,"name":"infra.list"//r ],
    [ 'a name that is none', $list =~ s/"infra.list"/7/r ],
    [ 'an empty name', $list =~ s/infra\.list//r ],
    [ 'arguments that are none', with_args('[]') ],
    [ 'id null', $list =~ s/"id":1/"id":null/r ],
    [ 'id 1.5', $list =~ s/"id":1/"id":1.5/r ],
    [ 'id true', $list =~ s/"id":1/"id":true/r ],
    [ 'id an object', $list =~ s/"id":1/"id":{}/r ],
    [ 'a method that is none', $list =~ s/"tools\/call"/7/r ],
    [ 'a method of 129', $list =~ s/tools\/call/'x' x 129/er ],
    [ 'a method not in ASCII', $list =~ s/tools\/call/tools\/c\xc3\xa0ll/r ],
) {
    refused("JSON-RPC: $_->[0]", send_body($_->[1], $json . $token),
            400, 'RPC_INVALID', -32600);
}

for ('tools/call2', 'Tools/Call', 'tools/call/', 'sampling/createMessage',
     'resources/read', 'prompts/get', 'completion/complete', 'tasks/get',
     'logging/setLevel', 'x')
{
    my $body = json_text({ jsonrpc => '2.0', id => 1, method => $_,
                      params => { name => 'infra.list', arguments => {} } });

    refused("unknown method $_", send_body($body, $json . $token),
            403, 'RPC_METHOD', -32601);
    refused("unknown method $_ with a key", send_body($body, $json . $xkey),
            403, 'RPC_METHOD', -32601);
}


# the ways a body may come

for my $size (15_000, 17_000, 900_000) {
    my $body = rpc('infra.scale', { text => 'x' x $size });

    permitted("$size bytes", send_body($body, $json . $token));
    is($t->last_hit()->{body} eq $body, 1, 'byte by byte');

    # only the very end makes it another call

    refused("$size bytes, the last one wrong",
            send_body($body =~ s/\}\z/,"method":"tools\/call"}/r,
                      $json . $token), 400, 'JSON_DUPLICATE_KEY', -32600);
    refused("$size bytes, tool not planned",
            send_body(rpc('infra.kill', { text => 'x' x $size }),
                      $json . $token), 409, 'STEP_NOT_PLANNED');
    refused("$size bytes without a key", send_body($body, $json),
            401, 'IDENTITY_MISSING');
}

{
    my $body = rpc('infra.scale', { text => 'y' x 40_000 });

    permitted('chunks', send_raw("POST /mcp HTTP/1.1\r\n" . $json . $token
                                 . chunked($list, 7)));
    my $hit = $t->last_hit();

    is($hit->{body}, $list, 'byte by byte');
    ok(!exists $hit->{headers}{'transfer-encoding'}, 'in one piece');
    is($hit->{headers}{'content-length'}, $n, 'with its length');

    permitted('many chunks', send_raw("POST /mcp HTTP/1.1\r\n" . $json
                                      . $token . chunked($body, 1009)));
    is($t->last_hit()->{body} eq $body, 1, 'byte by byte');

    permitted('a chunk extension', send_raw("POST /mcp HTTP/1.1\r\n" . $json
        . $token . (chunked($list, 20) =~ s/^14\r\n/14;a="b"\r\n/mgr)));
    is($t->last_hit()->{body}, $list, 'is no part of the body');

    refused('a token in a trailer', send_raw("POST /mcp HTTP/1.1\r\n" . $json
        . $xkey . (chunked($list, 20) =~ s/\r\n\z/$intent\r\n/r)),
        401, 'TOKEN_MISSING');
    refused('chunks, not planned', send_raw("POST /mcp HTTP/1.1\r\n" . $json
        . $token . chunked(rpc('infra.kill', {}), 3)),
        409, 'STEP_NOT_PLANNED');
}

{
    my $s = connected();

    for (split //, $head . "Content-Length: $n\r\n\r\n$list") {
        syswrite $s, $_;
        sleep 0.0005;
    }

    permitted('one byte at a time', http_parse(drain($s)));
    is($t->last_hit()->{body}, $list, 'byte by byte');

    my $kill = rpc('infra.kill', {});

    $s = connected();

    for (split //, $head . 'Content-Length: ' . length($kill)
                   . "\r\n\r\n$kill")
    {
        syswrite $s, $_;
        sleep 0.0005;
    }

    refused('one byte at a time, not planned', http_parse(drain($s)),
            409, 'STEP_NOT_PLANNED');
}

{
    my $s = connected();

    syswrite $s, $head . "Expect: 100-continue\r\nContent-Length: $n\r\n\r\n";

    my $buf = '';
    my $sel = IO::Select->new($s);

    sysread $s, $buf, 4096 if $sel->can_read(5);

    like($buf, qr{^HTTP/1\.1 100 }, 'a client with a token may go on');
    syswrite $s, $list;
    permitted('Expect: 100-continue', http_parse(drain($s)));

    $s = connected();
    syswrite $s, ($head =~ s/^Authorization.*\r\n//mr)
        . "Expect: 100-continue\r\nContent-Length: $n\r\n\r\n";
    refused('one without is refused before its body', http_parse(drain($s)),
            401, 'IDENTITY_MISSING');
}

for ([ 'permitted, refused', 'infra.list', 'infra.kill' ],
     [ 'refused, permitted', 'infra.kill', 'infra.list' ])
{
    my ($name, @tools) = @$_;
    my $i = 0;
    my $before = hits();
    my $raw = http_raw($t->port(0), join '', map {
        my $body = rpc($_, {});

        ($i++ ? $head : $head =~ s/^Connection.*\r\n//mr)
            . 'Content-Length: ' . length($body) . "\r\n\r\n$body"
    } @tools);

    my @answers = map { http_parse($_) } split m{(?=HTTP/1\.1 \d)}, $raw;

    is(scalar @answers, 2, "pipelined: $name");

    for (0, 1) {
        is($answers[$_]{status}, $tools[$_] eq 'infra.list' ? 200 : 409,
           "$tools[$_] has its own answer");
    }

    is(hits() - $before, 1, 'and only one was sent');
    is($t->last_hit()->{json}{params}{name}, 'infra.list', 'the planned one');
}

{
    my $raw = http_raw($t->port(0), ($head =~ s/^Connection.*\r\n//mr)
        . "Content-Length: $n\r\n\r\n$list" . 'X' x 20 . "\r\n\r\n");
    my ($first, $second) = split m{(?=HTTP/1\.1 \d)}, $raw;

    permitted('bytes behind the body', http_parse($first));
    is($t->last_hit()->{body}, $list, 'are no part of it');
    unreached('but a request of their own', http_parse($second), 400);
}


# armoriq_max_body

{
    my $base = length rpc('alerts.list', { text => '' });
    my $exact = rpc('alerts.list', { text => 'z' x (SMALL - $base) });
    my $more = rpc('alerts.list', { text => 'z' x (SMALL + 1 - $base) });

    is(length $exact, SMALL, 'N bytes');

    permitted('armoriq_max_body: N',
              send_body($exact, $json . $token, path => '/small'));
    refused('N + 1', send_body($more, $json . $token, path => '/small'),
            413, 'BODY_TOO_LARGE');
    permitted('N in chunks', send_raw("POST /small HTTP/1.1\r\n" . $json
                                      . $token . chunked($exact, 64)));
    refused('N + 1 in chunks', send_raw("POST /small HTTP/1.1\r\n" . $json
                . $token . chunked($more, 64)), 413, 'BODY_TOO_LARGE');

    my $s = connected();

    syswrite $s, ($head =~ s{/mcp}{/small}r) . 'Content-Length: '
        . (SMALL + 1) . "\r\n\r\n";
    refused('N + 1 is refused before it is sent', http_parse(drain($s)),
            413, 'BODY_TOO_LARGE');
}


# HTTP/2

SKIP: {
    my $version = `curl -V 2>/dev/null` || '';

    skip 'no curl with HTTP/2', 1 if $version !~ /HTTP2/;

    my $number = 0;

    # Of an answer that is sent while the body is still on its way, followed
    # by RST_STREAM(NO_ERROR), some versions of curl show nothing: the log of
    # nginx tells what it was.

    my $h2 = sub {
        my ($body, $headers, %o) = @_;
        my $row = 'h2-' . ++$number;
        my @cmd = ('curl', '-s', '-i', '--http2-prior-knowledge',
                   '--max-time', 10, '-H', "X-Row: $row",
                   map { ('-H', $_) } split /\r\n/, $headers);

        push @cmd, '-X', $o{method} if $o{method};
        push @cmd, '-H', 'Expect:', '--data-binary',
            '@' . $t->write('h2.body', $body) if defined $body;

        open my $f, '-|', @cmd, 'http://127.0.0.1:' . $t->port(1)
            . ($o{path} || '/mcp') or return http_parse('');
        local $/;
        my $raw = <$f>;
        close $f;

        $raw =~ s{^HTTP/2 (\d+)}{HTTP/1.1 $1};

        my $r = http_parse($raw);

        for (1 .. 20) {
            last if $r->{status};

            @$r{qw/status why/} = ($1, $2)
                if $t->read('row.log') =~ /^\Q$row\E\|(\d+)\|(\w+)$/m;
            sleep 0.1;
        }

        return $r;
    };

    my $big = rpc('infra.scale', { text => 'x' x 900_000 });

    permitted('HTTP/2', $h2->($list, $json . $token));
    is($t->last_hit()->{body}, $list, 'byte by byte');
    permitted('HTTP/2: 900 kB', $h2->($big, $json . $token));
    is($t->last_hit()->{body} eq $big, 1, 'byte by byte');
    permitted('HTTP/2: discovery with a key', $h2->(
        json_text({ jsonrpc => '2.0', id => 1, method => 'tools/list' }),
        $json . $xkey));

    my $before = hits();

    for ([ '900 kB, not planned', 409, 'STEP_NOT_PLANNED',
           $big =~ s/infra\.scale/infra.scalf/r, $json . $token ],
         [ 'nobody', 401, 'IDENTITY_MISSING', $list, $json ],
         [ 'a key only', 401, 'TOKEN_MISSING', $list, $json . $xkey ],
         [ 'not planned', 409, 'STEP_NOT_PLANNED', rpc('infra.kill', {}),
           $json . $token ],
         [ 'two tokens', 400, 'TOKEN_AMBIGUOUS', $list,
           $json . $token . $intent ],
         [ 'a batch', 400, 'BATCH_NOT_ALLOWED', "[$list]", $json . $token ],
         [ 'a key twice', 400, 'JSON_DUPLICATE_KEY', $list =~ s/\{/{"id":2,/r,
           $json . $token ],
         [ 'text/plain', 415, 'CONTENT_TYPE', $list,
           "Content-Type: text/plain\r\n$token" ],
         [ 'PUT', 405, 'METHOD_NOT_ALLOWED', $list, $json . $token,
           method => 'PUT' ],
         [ 'GET with a body', 400, 'BODY_UNEXPECTED', $list, $json . $token,
           method => 'GET' ],
         [ 'a header twice', 400, 'HEADER_DUPLICATE', $list, $json . $token
           . "Mcp-Method: tools/call\r\nmcp-method: tools/call\r\n" ],
         [ 'N + 1', 413, 'BODY_TOO_LARGE',
           rpc('alerts.list', { text => 'z' x SMALL }), $json . $token,
           path => '/small' ])
    {
        my ($name, $status, $reason, @request) = @$_;
        my $r = $h2->(@request);

        is_deeply([ $r->{status}, $r->{why} ], [ $status, $reason ],
                  "HTTP/2: $name") or diag($r->{raw});
    }

    is(hits(), $before, 'HTTP/2: the upstream has seen none of these');
}


my ($code, $out) = $t->audit_verify();

is($code, 0, 'armoriqctl audit verify') or diag($out);

$t->done_testing();
