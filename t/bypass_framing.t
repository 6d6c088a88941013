#!/usr/bin/perl

# Guards the rows of the bypass matrix that are bytes: B22 to B35 where a body
# ends and what it is, B43, B44, B47 to B51 headers, B53 frames of HTTP/2, B54
# early data, B57 what the server gets.  A row that reaches the server with
# other bytes than were judged, or that two readers would cut differently, is
# a way around the decision.
#
# At the end the same rows are sent with "armoriq off".

use strict;
use warnings;

use FindBin;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Bypass;


my $t = ArmorIQ->new(ports => 5);

my @names = qw/mcp unb big one und/;

my $key = $t->init_store(mcps => [ map { "mcp-$_" } @names ]);

$t->upstream();

my $locations = <<'EOF';
client_body_buffer_size 8k;
client_body_timeout 1s;
client_header_timeout 2s;

location /     { proxy_pass http://g; }
location /mcp  { armoriq on; armoriq_mcp mcp-mcp; proxy_pass http://g; }
location /unb  { armoriq on; armoriq_mcp mcp-unb; proxy_pass http://g;
                 proxy_request_buffering off; proxy_http_version 1.1; }
location /UNB  { proxy_request_buffering off; proxy_http_version 1.1;
                 proxy_pass http://g; }
location /big  { armoriq on; armoriq_mcp mcp-big; armoriq_max_body 1m;
                 client_max_body_size 4m; proxy_pass http://g; }
location /one  { armoriq on; armoriq_mcp mcp-one; client_max_body_size 9k;
                 proxy_pass http://g; }
EOF

my $lint = has_lint($t) ? 'armoriq_lint warn;' : '';
my $cert = certificate();

my $tls = $cert ? <<"EOF" : '';
server { listen 127.0.0.1:%%PORT3%% ssl; ssl_early_data on;
         ssl_certificate %%DIR%%/cert.pem; ssl_certificate_key %%DIR%%/key.pem;
         ssl_protocols TLSv1.3; ssl_session_cache shared:s:1m;
         $locations }
EOF

my $conf = <<"EOF";
%%ARMORIQ%%
$lint
proxy_read_timeout 8s;
upstream g { server %%UPSTREAM%%; armoriq_guard; keepalive 2; }
server { listen 127.0.0.1:%%PORT0%%; $locations }
server { listen 127.0.0.1:%%PORT1%% http2; $locations }
server { listen 127.0.0.1:%%PORT2%%; underscores_in_headers on;
         ignore_invalid_headers off;
         location /mcp { armoriq on; armoriq_mcp mcp-und;
                         proxy_pass http://g; } }
server { listen 127.0.0.1:%%PORT4%% http2; underscores_in_headers on;
         location /mcp { armoriq on; armoriq_mcp mcp-und;
                         proxy_pass http://g; } }
$tls
EOF

$t->run($conf);

my $jws = $t->issue_token(seconds => 3600, plan => {
    goal => 'framing',
    steps => [ map { { action => 'call', mcp => "mcp-$_",
                       max_uses => 100000 } } @names ],
})->{jws};

ok($jws, 'token') or BAIL_OUT('no token');

my $b = ArmorIQ::Bypass->new($t, 'bypass_framing', jws => $jws, key => $key);

my $json = "Content-Type: application/json\r\n";
my $token = "Authorization: Bearer $jws\r\n";
my $good = call('call');
my $evil = call('evil');
my $len = length $good;
my $n;

my $once = [ 200, '', 1 ];
my $unplanned = [ 409, 'STEP_NOT_PLANNED', 0 ];

sub nginx_says { [ $_[0], '', 0 ] }


# B22: two opinions on where a body ends

$n = 22;

for ([ 'CL and TE', "Content-Length: $len\r\nTransfer-Encoding: chunked" ],
     [ 'TE and CL 0', "Transfer-Encoding: chunked\r\nContent-Length: 0" ],
     [ 'TE twice', "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" ],
     [ 'TE twice, another', "Transfer-Encoding: chunked\r\n"
       . 'Transfer-Encoding: identity' ],
     [ 'CL twice', "Content-Length: $len\r\nContent-Length: $len" ],
     [ 'CL twice, another', "Content-Length: $len\r\nContent-Length: 5" ],
     [ 'TE: xchunked', 'Transfer-Encoding: xchunked' ],
     [ 'TE: identity', 'Transfer-Encoding: identity' ],
     [ 'TE: chunked, identity', 'Transfer-Encoding: chunked, identity' ],
     [ 'TE: gzip, chunked', 'Transfer-Encoding: gzip, chunked' ],
     [ 'TE: chunked, chunked', 'Transfer-Encoding: chunked, chunked' ],
     [ 'TE: \x0bchunked', "Transfer-Encoding: \x0bchunked" ],
     [ 'TE: "chunked"', 'Transfer-Encoding: "chunked"' ],
     [ 'TE: chunked;a', 'Transfer-Encoding: chunked;a' ],
     [ 'CL +5', "Content-Length: +$len" ],
     [ 'CL 5, 5', "Content-Length: $len, $len" ],
     [ 'CL -1', 'Content-Length: -1' ],
     [ 'CL 0x5', 'Content-Length: 0x5' ],
     [ 'CL empty', 'Content-Length:' ],
     [ 'CL too large for any number',
       'Content-Length: 18446744073709551617' ],
     [ 'CL with a blank', "Content-Length: $len 0" ])
{
    $b->add($n, $_->[0], nginx_says('400|501|413'), nginx => 1,
            raw => head('/mcp', "$_->[1]\r\n") . "\r\n" . chunked($good)
                   . $good);
}

$b->add($n, 'TE with a tab before it', nginx_says('400|501'), nginx => 1,
        raw =>
        head('/mcp', "Transfer-Encoding:\tchunked\r\n") . "\r\n"
        . chunked($evil));
$b->add($n, 'TE, a blank before the colon', [ '400|411', undef, 0 ],
        raw => head('/mcp', "Transfer-Encoding : chunked\r\n") . "\r\n"
               . chunked($good), nginx => 1);
$b->add($n, 'TE on HTTP/1.0', nginx_says(400), nginx => 1,
        raw => head('/mcp', "Transfer-Encoding: chunked\r\n", '1.0')
               . "\r\n" . chunked($good));
$b->add($n, 'no length at all', [ 400, 'JSON_INVALID', 0 ],
        raw => head('/mcp', '') . "\r\n$good");


# B23 to B25: chunks

$n = 23;

for ([ 'an extension', sub { $_[0] =~ s/^([0-9a-f]+)\r/$1;a=b\r/mgr } ],
     [ 'a quoted extension', sub { $_[0] =~ s/^([0-9a-f]+)\r/$1;a="\\r5"\r/mgr
       } ],
     [ 'a long extension', sub { my $x = 'x' x 1000;
                                 $_[0] =~ s/^([0-9a-f]+)\r/$1;$x\r/r } ],
     [ 'bare LF', sub { $_[0] =~ s/\r\n/\n/gr } ],
     [ 'an extension that ends in LF',
       sub { $_[0] =~ s/^([0-9a-f]+)\r\n/$1;\n/mgr } ],
     [ 'leading zeros', sub { $_[0] =~ s/^([0-9a-f]+)\r/0000$1\r/mgr } ],
     [ 'a blank behind the size', sub { $_[0] =~ s/^([0-9a-f]+)\r/$1 \r/mgr }
     ])
{
    my ($name, $bend) = @$_;

    $b->add($n, "$name, not planned", $unplanned, or_nginx => 1,
            raw => head('/mcp', "Transfer-Encoding: chunked\r\n") . "\r\n"
                   . $bend->(chunked($evil)));
    $b->add($n, "$name, planned", $once, control => 1, or_nginx => 1,
            check => \&reframed,
            raw => head('/mcp', "Transfer-Encoding: chunked\r\n") . "\r\n"
                   . $bend->(chunked($good)));
    $b->add($n, "$name, into the guard", [ 403, 'ENFORCEMENT_BYPASS', 0 ],
            or_nginx => 1,
            raw => head('/UNB', "Transfer-Encoding: chunked\r\n") . "\r\n"
                   . $bend->(chunked($good)));
}

$n = 24;
$b->add($n, "a trailer: $_->[0]", $_->[1],
        raw => head_of($_->[2], '/mcp', "Transfer-Encoding: chunked\r\n")
               . "\r\n" . (chunked($good) =~ s/\r\n\z/$_->[3]\r\n/r),
        check => \&reframed)
    for [ 'a token', [ 401, 'IDENTITY_MISSING', 0 ], '', $token ],
        [ 'a token beside a key', [ 401, 'TOKEN_MISSING', 0 ],
          "X-API-Key: $key\r\n", "X-ArmorIQ-Intent: $jws\r\n" ],
        [ 'a Content-Type', [ 415, 'CONTENT_TYPE', 0 ], undef, $json ];
$b->add($n, 'a trailer is dropped', $once, control => 1,
        raw => head('/mcp', "Transfer-Encoding: chunked\r\nTrailer: "
                            . "X-ArmorIQ-Org\r\n")
               . "\r\n" . (chunked($good)
                           =~ s/\r\n\z/X-ArmorIQ-Org: other\r\n\r\n/r),
        check => sub {
            my ($r, $name) = @_;

            reframed($r, $name);
            is($t->last_hit()->{headers}{'x-armoriq-org'}, undef,
               "$name: not sent");
        });

$n = 25;
$b->add($n, $_->[0], nginx_says('400|413'), nginx => 1,
        raw => head('/mcp', "Transfer-Encoding: chunked\r\n") . "\r\n"
               . $_->[1])
    for [ 'a size that overflows', "ffffffffffffffff1\r\n$good\r\n0\r\n\r\n" ],
        [ 'a negative size', "-5\r\n$good\r\n0\r\n\r\n" ],
        [ '0x5', "0x5\r\n$good\r\n0\r\n\r\n" ],
        [ 'no size', "\r\n$good\r\n0\r\n\r\n" ],
        [ 'a size too small', "5\r\n$good\r\n0\r\n\r\n" ],
        [ 'the largest size', "7fffffffffffffff\r\n$good\r\n0\r\n\r\n" ];


# B26 to B30: requests in other ways

$n = 26;
$b->add($n, 'HTTP/0.9', [ '400|0|401|403', undef, 0 ], nginx => 1,
        raw => "GET /mcp\r\n");
$b->add($n, 'HTTP/0.9 into the guard', [ '0', undef, 0 ],
        raw => "GET /MCP\r\n", leaves => 1);
$b->add($n, 'HTTP/0.9 POST', nginx_says('0|400'), nginx => 1,
        raw => "POST /mcp\r\n");
$b->add($n, 'HTTP/2.0 as text', nginx_says('400|505'), nginx => 1,
        raw => head('/mcp', "Content-Length: $len\r\n", '2.0')
               . "\r\n$good");
$b->add($n, "HTTP/$_", [ 400, 'PROTOCOL_VERSION', 0 ],
        raw => head('/mcp', "Content-Length: $len\r\n", $_) . "\r\n$good")
    for '1.2', '1.9';
$b->add($n, 'HTTP/1.10', [ 400, 'PROTOCOL_VERSION', 0 ],
        raw => head('/mcp', "Content-Length: $len\r\n", '1.10')
               . "\r\n$good");

$n = 27;
$b->add($n, 'evil, planned, evil', [ '409 200 409', '', 1 ],
        raw => pipeline($evil, $good, $evil));
$b->add($n, 'planned, evil, planned', [ '200 409 200', '', 2 ],
        raw => pipeline($good, $evil, $good));
$b->add($n, 'nobody behind a token', [ '200 401', '', 1 ],
        raw => sub {
            answers(head('/mcp', "Content-Length: $len\r\n", '1.1', 1)
                    . "\r\n$good" . head_of('', '/mcp',
                                            "Content-Length: $len\r\n")
                    . "\r\n$good");
        });
$b->add($n, 'a request inside the rest of the body', [ '200 409', '', 1 ],
        raw => sub {
            answers(head('/mcp', "Content-Length: $len\r\n", '1.1', 1)
                    . "\r\n$good" . head('/mcp', 'Content-Length: '
                                         . length($evil) . "\r\n")
                    . "\r\n$evil");
        });
$b->add($n, 'bytes behind the body', [ '200 400', '', 1 ],
        raw => sub {
            answers(head('/mcp', "Content-Length: $len\r\n", '1.1', 1)
                    . "\r\n$good,{}\r\n\r\n");
        }, nginx => 1);
$b->add($n, 'a refused body holds a request', [ '401 401', '', 0 ],
        raw => sub {
            my $inner = head('/mcp', "Content-Length: $len\r\n")
                        . "\r\n$good";

            answers("POST /mcp HTTP/1.1\r\nHost: a\r\n$json"
                    . 'Content-Length: ' . length($inner) . "\r\n\r\n$inner"
                    . head_of('', '/mcp', "Content-Length: $len\r\n")
                    . "\r\n$good");
        });

$n = 28;

for my $size (8191, 8192, 8193, 16384, 100_000, 1_048_575, 1_048_576) {
    $b->add($n, "$size bytes, the last ones evil",
            [ 400, 'JSON_DUPLICATE_KEY', 0 ], uri => '/big',
            body => sized($size, ',"method":"tools/list"}'));
    $b->add($n, "$size bytes, planned", $once, uri => '/big', control => 1,
            body => sized($size, '}'), check => sub {
                my ($r, $name) = @_;

                ok($t->last_hit()->{body} eq sized($size, '}'),
                   "$name: byte by byte");
            });
}

$b->add($n, 'one byte more than armoriq_max_body',
        [ 413, 'BODY_TOO_LARGE', 0 ], uri => '/big',
        body => sized(1_048_577, '}'));
$b->add($n, 'more than client_max_body_size', [ 413, undef, 0 ],
        uri => '/one', body => sized(9217, '}'));
$b->add($n, 'in a file, into the guard', [ 403, 'ENFORCEMENT_BYPASS', 0 ],
        uri => '/BIG', body => sized(100_000, '}'));

$n = 29;
$b->add($n, 'one byte each, not planned', $unplanned, raw => sub {
            slowly($evil, 1); }, h2 => sub { frames($_[0], $evil, 1) },
        v => [ 1, 2 ]);
$b->add($n, 'one byte each, planned', $once, control => 1, raw => sub {
            slowly($good, 1); }, h2 => sub { frames($_[0], $good, 1) },
        v => [ 1, 2 ], check => \&reframed);
$b->add($n, 'never the last byte', [ '408|0|400', undef, 0 ], raw => sub {
            slowly(substr($good, 0, -1), 40); }, h2 => sub {
            frames($_[0], substr($good, 0, -1), 40, open => 1);
        }, v => [ 1, 2 ], skip_off => 1);
$b->add($n, 'evil behind a pause', $unplanned, raw => sub {
            my $s = substr $evil, 0, 30;

            return (head('/mcp', 'Content-Length: ' . length($evil)
                         . "\r\n") . "\r\n$s", substr $evil, 30);
        });

$n = 30;
$b->add($n, "Expect: $_->[0], evil", $unplanned, who => 'evil',
        headers => "Expect: $_->[0]\r\n", raw => sub {
            my $all = head('/mcp', 'Content-Length: ' . length($evil)
                           . "\r\n$_[1]{headers}") . "\r\n";

            answered($all, $evil);
        }, v => [ 1, 2 ])
    for [ '100-continue' ], [ '200-ok' ], [ '100-continue, 100-continue' ];
$b->add($n, 'Expect: 100-continue, nobody: no 100',
        [ 401, 'IDENTITY_MISSING', 0 ], who => 'nobody',
        headers => "Expect: 100-continue\r\n", v => [ 1, 2 ], raw => sub {
            head_of('', '/mcp', "Content-Length: $len\r\n"
                    . "Expect: 100-continue\r\n") . "\r\n";
        }, check => sub {
            unlike($_[0]{raw}, qr{^HTTP/1.1 100}, "$_[1]: as said");
        }, skip_off => 1);


# B31 to B35: what the body is

$n = 31;
$b->add($n, "Content-Encoding: $_", [ 415, 'CONTENT_ENCODING', 0 ],
        headers => "Content-Encoding: $_\r\n")
    for qw/gzip br deflate identity x-gzip zstd/, 'gzip, gzip', '', ' ';
$b->add($n, 'twice', [ 400, 'HEADER_DUPLICATE', 0 ],
        headers => "Content-Encoding: identity\r\n" x 2);

$n = 32;
$b->add($n, "Content-Type: $_", [ 415, 'CONTENT_TYPE', 0 ],
        only_headers => "Content-Type: $_\r\n$token")
    for 'text/plain', 'multipart/form-data; boundary=a',
        'application/json; charset=utf-16', 'application/json; charset=latin1',
        'application/x-www-form-urlencoded', 'application/json-rpc',
        'application/vnd.x+json', 'text/json', 'application/json, text/plain',
        'application/json; charset=utf-8; charset=utf-16', '',
        'application/json;version=1', 'application/ json',
        "application/json\x0b", 'application/json;charset=utf-7';
$b->add($n, 'none', [ 415, 'CONTENT_TYPE', 0 ], only_headers => $token);
$b->add($n, 'twice', [ 400, 'HEADER_DUPLICATE', 0 ], headers => $json);
$b->add($n, 'twice, another', [ 400, 'HEADER_DUPLICATE', 0 ],
        headers => "Content-Type: text/plain\r\n");

$n = 33;
$b->add($n, $_->[0], [ 400, 'BATCH_NOT_ALLOWED', 0 ], body => $_->[1])
    for [ 'of one', "[$good]" ], [ 'of two', "[$good,$evil]" ],
        [ 'empty', '[]' ], [ 'in a batch', "[[$good]]" ],
        [ 'behind blanks', " \r\n\t[$good]" ], [ 'of a number', '[1]' ];
$b->add($n, 'params as an array', [ 400, 'RPC_INVALID', 0 ],
        body => '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
                . '["call"]}');

$n = 34;
$b->add($n, "$_->[0]", $_->[1], who => $_->[2], body => $_->[3])
    for [ 'not planned', $unplanned, 'good', $evil =~ s/"id":1,//r ],
        [ 'nobody', [ 401, 'IDENTITY_MISSING', 0 ], 'nobody',
          $good =~ s/"id":1,//r ],
        [ 'a key and no token', [ 401, 'TOKEN_MISSING', 0 ], 'key',
          $good =~ s/"id":1,//r ],
        [ 'id null', [ 400, 'RPC_INVALID', 0 ], 'good',
          $good =~ s/"id":1/"id":null/r ];
$b->add($n, 'a planned one counts as a call', [ 202, '', 1 ], control => 1,
        body => $good =~ s/"id":1,//r);

$n = 35;
$b->add($n, $_->[0], [ 400, 'RPC_INVALID', 0 ], body => $_->[1])
    for [ 'result and method', $good =~ s/\{/{"result":{},/r ],
        [ 'error and method', $good =~ s/\{/{"error":{"code":1},/r ],
        [ 'result, error', '{"jsonrpc":"2.0","id":1,"result":1,"error":{}}' ],
        [ 'result null and method', $good =~ s/\{/{"result":null,/r ],
        [ 'a response with params',
          '{"jsonrpc":"2.0","id":1,"result":{},"params":{"name":"call"}}' ],
        [ 'neither', '{"jsonrpc":"2.0","id":1,"params":{"name":"call"}}' ];
$b->add($n, 'a response, nobody', [ 401, 'IDENTITY_MISSING', 0 ],
        who => 'nobody', body => '{"jsonrpc":"2.0","id":1,"result":{}}');


# B43 to B51: headers

$n = 43;
$b->add($n, label_of($_), [ 400, 'UPGRADE_NOT_ALLOWED', 0 ],
        headers => $_, or_nginx => 1)
    for "Upgrade: websocket\r\n", "Upgrade: h2c\r\nHTTP2-Settings: AAAA\r\n",
        "Upgrade:\r\n", "upgrade: WebSocket\r\nSec-WebSocket-Key: a\r\n";
$b->add($n, 'Connection: Upgrade alone is not passed on', $once,
        headers => "Connection: Upgrade, X-A\r\n", raw => sub {
            (head('/mcp', "Content-Length: $len\r\n", '1.1', 1)
             =~ s/\z/Connection: close, Upgrade\r\n/r) . "\r\n$good";
        }, control => 1, v => [ 1 ], check => sub {
            unlike($t->last_hit()->{headers}{connection} || '',
                   qr/upgrade/i, "$_[1]: as said");
        });

$n = 44;
$b->add($n, 'unbuffered, evil', $unplanned, uri => '/unb', who => 'evil');
$b->add($n, 'unbuffered, planned', $once, uri => '/unb', control => 1,
        check => \&reframed);
$b->add($n, 'unbuffered chunks, evil', $unplanned,
        raw => head('/unb', "Transfer-Encoding: chunked\r\n") . "\r\n"
               . chunked($evil));
$b->add($n, 'unbuffered chunks, planned', $once, control => 1,
        raw => head('/unb', "Transfer-Encoding: chunked\r\n") . "\r\n"
               . chunked($good), check => \&reframed);
$b->add($n, 'unbuffered into the guard', [ 403, 'ENFORCEMENT_BYPASS', 0 ],
        uri => '/UNB');
$b->add($n, 'unbuffered chunks, still sending, into the guard',
        [ 403, 'ENFORCEMENT_BYPASS', 0 ], skip_off => 1,
        raw => head('/UNB', "Transfer-Encoding: chunked\r\n") . "\r\n"
               . "5\r\n{\"a\":\r\n");

$n = 47;

for ([ 'X-API-Key', $key ], [ 'X-ArmorIQ-Intent', $jws ],
     [ 'X-CSRG-Path', '/steps/[0]/action' ], [ 'X-CSRG-Proof', '[]' ],
     [ 'Mcp-Method', 'tools/call' ], [ 'Mcp-Name', 'call' ],
     [ 'MCP-Protocol-Version', '2025-06-18' ], [ 'Mcp-Session-Id', 'a' ],
     [ 'Origin', 'https://a.example.com' ])
{
    my ($name, $value) = @$_;

    $b->add($n, "$name twice", [ 400, 'HEADER_DUPLICATE', 0 ],
            headers => "$name: $value\r\n" . uc($name) . ": $value\r\n");
}

$b->add($n, "a token twice: $_->[0]", [ 400, 'TOKEN_AMBIGUOUS', 0 ],
        headers => $_->[1], body => $_->[2] || $good)
    for [ 'two headers', "X-ArmorIQ-Intent: $jws\r\n" ],
        [ 'header and body', '', rpc_text('tools/call', { name => 'call',
            arguments => {}, _meta => { 'io.armoriq/intent-token' => $jws }
          }) ];
$b->add($n, 'two keys', [ 400, 'IDENTITY_AMBIGUOUS', 0 ], only_headers =>
        "${json}X-API-Key: $key\r\nAuthorization: Bearer ak_live_"
        . '0' x 64 . "\r\nX-ArmorIQ-Intent: $jws\r\n");

$n = 48;

for ([ 'Authorization twice', "$token$token" ],
     [ 'Authorization twice, another', "${token}Authorization: Basic YTpi\r\n"
     ],
     [ 'Host twice', "${token}Host: b\r\n" ],
     [ 'a NUL in a value', "${token}X-A: a\0b\r\n" ],
     [ 'a NUL in a name', "${token}X-\0A: b\r\n" ],
     [ 'a bare CR', "${token}X-A: a\rX-B: b\r\n" ])
{
    $b->add($n, $_->[0], [ '400', '', 0 ], nginx => 1,
            raw => head_of($_->[1], '/mcp', "Content-Length: $len\r\n")
                   . "\r\n$good");
}

$b->add($n, 'a folded header', nginx_says(400), nginx => 1,
        raw => head_of("Authorization: Bearer\r\n $jws\r\n", '/mcp',
                       "Content-Length: $len\r\n") . "\r\n$good");
$b->add($n, 'no Host', nginx_says(400), nginx => 1,
        raw => (head('/mcp', "Content-Length: $len\r\n") =~ s/Host: a\r\n//r)
               . "\r\n$good");
$b->add($n, 'a blank in the method', nginx_says(400), nginx => 1,
        raw => " POST" . substr(head('/mcp', "Content-Length: $len\r\n"), 4)
               . "\r\n$good");

$n = 49;
$b->add($n, "$_->[0]", [ 401, $_->[1], 0 ], only_headers => $json . $_->[2])
    for [ 'x_armoriq_intent', 'TOKEN_MISSING',
          "X-API-Key: $key\r\nx_armoriq_intent: $jws\r\n" ],
        [ 'x_api_key', 'IDENTITY_MISSING', "x_api_key: $key\r\n" ];
$b->add($n, "$_->[0], underscores_in_headers on", [ 401, $_->[1], 0 ],
        port => 2, v => [ 1 ], only_headers => $json . $_->[2])
    for [ 'x_armoriq_intent', 'TOKEN_MISSING',
          "X-API-Key: $key\r\nx_armoriq_intent: $jws\r\n" ],
        [ 'x_api_key', 'IDENTITY_MISSING', "x_api_key: $key\r\n" ],
        [ 'content_type', 'IDENTITY_MISSING', "x_api_key: $key\r\n" ];
$b->add($n, 'content_length, underscores_in_headers on',
        [ 401, 'IDENTITY_MISSING', 0 ], port => 2, v => [ 1 ],
        only_headers => "${json}content_length: 3\r\n");
$b->add($n, 'underscores that a CGI server takes for ours', $once,
        port => 2, v => [ 1 ], control => 1,
        headers => "x_armoriq_org: other\r\nx_api_key: $key\r\n",
        check => sub {
            my ($r, $name) = @_;

            is_deeply([ grep { /armoriq|api.key/ }
                        keys %{ $t->last_hit()->{headers} } ], [],
                      "$name: are not sent");
        });

$n = 50;

for my $name (qw/X-ArmorIQ-Org X-ArmorIQ-Verdict X-ArmorIQ-Rid X-ArmorIQ-User
                 x-armoriq-anything X-CSRG-Anything Proxy-Authorization/)
{
    $b->add($n, $name, $once, headers => "$name: forged\r\n", control => 1,
            check => sub {
                my ($r, $row) = @_;

                unlike(join("\n", %{ $t->last_hit()->{headers} }), qr/forged/,
                       "$row: is not sent");
            });
}

$b->add($n, 'they are not believed', [ 401, 'IDENTITY_MISSING', 0 ],
        who => 'nobody', headers => "X-ArmorIQ-Verdict: PERMIT\r\n"
        . "X-ArmorIQ-Org: example\r\nX-ArmorIQ-User: alice\r\n"
        . "X-ArmorIQ-Rid: " . '0' x 32 . "\r\n");
$b->add($n, 'they are not believed, not planned', $unplanned, who => 'evil',
        headers => "X-ArmorIQ-Verdict: PERMIT\r\n");

$n = 51;
$b->add($n, "Connection: $_->[0]", $_->[1], raw => sub {
            ($_[0]->headers({ only_headers => '' }), '')[1]
            . "POST /mcp HTTP/1.1\r\nHost: a\r\nConnection: close, $_[1]{hop}"
            . "\r\n$json$_[1]{with}Content-Length: " . length($_[1]{what})
            . "\r\n\r\n$_[1]{what}";
        }, hop => $_->[0], with => $_->[2], what => $_->[3],
        control => $_->[1][2], check => sub {
            my ($r, $name) = @_;

            unlike(join("\n", %{ $t->last_hit()->{headers} }),
                   qr/\Q$jws\E|\Q$key\E/, "$name: no credential is sent");
        })
    for [ 'Authorization', $unplanned, $token, $evil ],
        [ 'Authorization, planned', $once, $token, $good ],
        [ 'X-API-Key, X-ArmorIQ-Intent', $once,
          "X-API-Key: $key\r\nX-ArmorIQ-Intent: $jws\r\n", $good ],
        [ 'Content-Length', $unplanned, $token, $evil ],
        [ 'Content-Type, Mcp-Method', [ 400, 'HEADER_MISMATCH', 0 ],
          "${token}Mcp-Method: tools/list\r\n", $good ];


# B53: frames

$n = 53;

my @pseudo = ([ ':method', 'POST' ], [ ':scheme', 'http' ],
              [ ':path', '/mcp' ], [ ':authority', 'a' ]);
my @ours = ([ 'content-type', 'application/json' ],
            [ 'authorization', "Bearer $jws" ]);

frame('no length, not planned', $unplanned, [ @pseudo, @ours ],
      [ [ 0, 1, $evil ] ]);
frame('no length, planned', $once, [ @pseudo, @ours ], [ [ 0, 1, $good ] ],
      control => 1, check => \&reframed);
frame('no length, no body', [ 400, 'JSON_INVALID', 0 ], [ @pseudo, @ours ],
      [], flags => 5);
frame('a length too short', [ '400|0', undef, 0 ],
      [ @pseudo, @ours, [ 'content-length', 5 ] ], [ [ 0, 1, $good ] ]);
frame('a length too long', [ '400|0', undef, 0 ],
      [ @pseudo, @ours, [ 'content-length', $len + 9 ] ],
      [ [ 0, 1, $good ] ]);
frame('a length of 0 and a body', [ '400|0', undef, 0 ],
      [ @pseudo, @ours, [ 'content-length', 0 ] ], [ [ 0, 1, $good ] ]);
frame('a length twice', [ '400|0', undef, 0 ],
      [ @pseudo, @ours, [ 'content-length', $len ], [ 'content-length', 5 ] ],
      [ [ 0, 1, $good ] ]);
frame('DATA after the end', [ '200|0', '', 1 ], [ @pseudo, @ours ],
      [ [ 0, 1, $good ], [ 'wait', 0.2 ], [ 0, 1, ',{}' ] ], control => 1,
      check => \&reframed);
frame('DATA right after the end', [ 0, '', 0 ], [ @pseudo, @ours ],
      [ [ 0, 1, $good ], [ 0, 1, ',{}' ] ], nginx => 1);
frame('evil DATA after the end', $unplanned, [ @pseudo, @ours ],
      [ [ 0, 1, $evil ], [ 'wait', 0.2 ], [ 0, 1, $good ] ]);
frame('a token in the trailers', [ '401|0', undef, 0 ],
      [ @pseudo, $ours[0] ], [ [ 0, 0, $good ], [ 1, 5, [ $ours[1] ] ] ]);
frame('pseudo-headers in the trailers', [ '409|400|0', undef, 0 ],
      [ @pseudo, @ours ], [ [ 0, 0, $evil ],
                            [ 1, 5, [ [ ':path', '/open' ] ] ] ]);
frame('te: chunked', $unplanned, [ @pseudo, @ours, [ 'te', 'chunked' ] ],
      [ [ 0, 1, $evil ] ], or_nginx => 1);
frame('transfer-encoding: chunked', [ '400|501|0', undef, 0 ],
      [ @pseudo, @ours, [ 'transfer-encoding', 'chunked' ] ],
      [ [ 0, 1, chunked($good) ] ]);
frame('connection: close', [ '409|400', undef, 0 ],
      [ @pseudo, @ours, [ 'connection', 'close' ] ], [ [ 0, 1, $evil ] ]);
frame('an uppercase name', [ '401|400|0', undef, 0 ],
      [ @pseudo, $ours[0], [ 'Authorization', "Bearer $jws" ] ],
      [ [ 0, 1, $good ] ]);
frame('a second uppercase token', [ '409|400|0', undef, 0 ],
      [ @pseudo, @ours, [ 'X-ArmorIQ-Intent', $jws ] ], [ [ 0, 1, $evil ] ]);
frame('two :path', [ '400|0', undef, 0 ],
      [ @pseudo, [ ':path', '/open' ], @ours ], [ [ 0, 1, $good ] ],
      nginx => 1);
frame('two :method', [ '400|0', undef, 0 ],
      [ @pseudo, [ ':method', 'GET' ], @ours ], [ [ 0, 1, $good ] ],
      nginx => 1);
frame('no :path', [ '400|0', undef, 0 ],
      [ @pseudo[0, 1, 3], @ours ], [ [ 0, 1, $good ] ], nginx => 1);
frame('a :path without a slash', [ '400|0', undef, 0 ],
      [ @pseudo[0, 1], [ ':path', 'mcp' ], $pseudo[3], @ours ],
      [ [ 0, 1, $good ] ], nginx => 1);
frame('a blank in :path', [ '400|403|404|409|0', undef, 0 ],
      [ @pseudo[0, 1], [ ':path', '/mcp HTTP/1.1' ], $pseudo[3], @ours ],
      [ [ 0, 1, $evil ] ]);
frame('CR LF in :path', [ '400|0', undef, 0 ],
      [ @pseudo[0, 1], [ ':path', "/mcp\r\nX: y" ], $pseudo[3], @ours ],
      [ [ 0, 1, $good ] ], nginx => 1);
frame('CR LF in a value', [ '400|0', undef, 0 ],
      [ @pseudo, @ours, [ 'x-a', "b\r\nX-C: d" ] ], [ [ 0, 1, $good ] ],
      nginx => 1);
frame(':authority and host differ', [ '409|400', undef, 0 ],
      [ @pseudo, [ 'host', 'b' ], @ours ], [ [ 0, 1, $evil ] ]);
frame('a pseudo-header behind others', [ '409|400|0', undef, 0 ],
      [ @pseudo[0, 1, 3], @ours, [ ':path', '/mcp' ] ], [ [ 0, 1, $evil ] ]);
frame('an unknown pseudo-header', [ '400|0', undef, 0 ],
      [ @pseudo, [ ':protocol', 'websocket' ], @ours ], [ [ 0, 1, $good ] ],
      nginx => 1);
frame('CONNECT', [ '400|405|403|0', undef, 0 ],
      [ [ ':method', 'CONNECT' ], @pseudo[1 .. 3], @ours ],
      [ [ 0, 1, $good ] ], nginx => 1);
frame('RST in the body', [ 0, '', 0 ], [ @pseudo, @ours ],
      [ [ 0, 0, substr $good, 0, -1 ], [ 'wait', 0.05 ],
        [ 3, 0, pack 'N', 8 ] ], wait => 0.05, timeout => 0.3);
frame('gone in the body', [ 0, '', 0 ], [ @pseudo, @ours ],
      [ [ 0, 0, substr $good, 0, -1 ] ], wait => 0.05, gone => 1);
frame('a header over a million bytes', [ '400|0', undef, 0 ],
      [ @pseudo, @ours, [ 'x-a', 'x' x 15000 ] ], [ [ 0, 1, $evil ] ],
      skip_off => 1);


# B54: early data

$n = 54;
$b->add($n, "Early-Data: $_", [ 425, 'EARLY_DATA', 0 ],
        headers => "Early-Data: $_\r\n", check => \&no_early)
    for 1, 0, '';
$b->add($n, 'Early-Data, nobody', [ 425, 'EARLY_DATA', 0 ], who => 'nobody',
        headers => "early-data: 1\r\n");
$b->add($n, 'Early-Data, tools/list', [ 425, 'EARLY_DATA', 0 ],
        who => 'key', body => rpc_text('tools/list'),
        headers => "Early-Data: 1\r\n");

# Whoever replays early data cannot finish the handshake.  Once it is finished
# there was no replay, and it is early no more.

if ($cert) {
    $b->add($n, $_->[0], $_->[1], raw => $_->[2], before => \&tls_session,
            check => \&no_early)
        for [ 'TLS 1.3 early data', [ 425, 'EARLY_DATA', 0 ],
              sub { early_data() } ],
            [ 'TLS 1.3 early data, replayed', [ 0, '', 0 ],
              sub { early_data(1) } ];
}


# B57: the server gets what was judged

$n = 57;

for my $text ('x', "\xc3\xa9" x 50, 'y' x 20_000, "\\u0000" x 0 . '"\\') {
    my $body = call('call', { text => $text });

    $b->add($n, length($body) . ' bytes', $once, body => $body,
            control => 1, check => sub {
                my ($r, $name) = @_;
                my $hit = $t->last_hit();

                is($hit->{headers}{'content-length'}, length $body,
                   "$name: length");
                ok($hit->{body} eq $body, "$name: bytes");
                reframed($r, $name);
            });
}

$b->add($n, 'a length too short', [ 400, 'JSON_INVALID', 0 ],
        raw => head('/mcp', 'Content-Length: ' . ($len - 1) . "\r\n")
               . "\r\n$good");
$b->add($n, 'a length too long', [ '408|400|0', undef, 0 ],
        raw => head('/mcp', 'Content-Length: ' . ($len + 1) . "\r\n")
               . "\r\n$good", h2 => sub {
            h2_open($t->port(1), [ @pseudo, @ours,
                                   [ 'content-length', $len + 1 ] ],
                    [ [ 0, 1, $good ] ], timeout => 3);
        }, v => [ 1, 2 ], skip_off => 1);
$b->add($n, 'the next one on that connection', $unplanned, who => 'evil');


$b->drive();
$b->finish($conf, 21);
$t->done_testing();


# bytes of HTTP/1.1

sub head { return head_of($token, @_) }

sub head_of {
    my ($credentials, $uri, $more, $version, $keep) = @_;

    return "POST $uri HTTP/" . ($version || '1.1') . "\r\nHost: a\r\n"
        . ($keep ? '' : "Connection: close\r\n")
        . (defined $credentials ? "$json$credentials" : $token) . $more;
}

sub chunked { chunks($_[0]) . "0\r\n\r\n" }

sub label_of {
    my ($s) = @_;

    $s =~ s/\r\n/ /g;

    return $s;
}

# a planned call of so many bytes, that ends in this

sub sized {
    my ($size, $end) = @_;
    my $front = substr(call('call', { text => '@' }), 0, -1) . $end;
    my $pad = 'x' x ($size - length($front) + 1);

    $front =~ s/\@/$pad/;

    return $front;
}

# the server has got one body with a length, and nothing else

sub reframed {
    my ($r, $name) = @_;

    return if $r->{status} != 200;

    my $h = $t->last_hit()->{headers};

    is_deeply([ map { $h->{$_} } qw/transfer-encoding te upgrade/ ],
              [ (undef) x 3 ], "$name: a body with a length");
    is($h->{'content-length'}, length $t->last_hit()->{body},
       "$name: its length");
}

# all statuses of one connection stand for one

sub answers {
    my $raw = http_raw($t->port(0), @_);
    my @status = $raw =~ m{HTTP/1\.1 (\d+)}g;

    return { %{ http_parse($raw) }, status => "@status", why => '',
             json => undef };
}

sub pipeline {
    my @bodies = @_;

    return sub {
        my $i = 0;

        answers(join '', map {
            head('/mcp', 'Content-Length: ' . length($_) . "\r\n", '1.1',
                 $i++ < $#bodies) . "\r\n$_"
        } @bodies);
    };
}

# the answer behind "100 Continue"

sub answered {
    my $raw = http_raw($t->port(0), @_);

    $raw =~ s{^HTTP/1.1 100 [^\r]*\r\n\r\n}{};

    return http_parse($raw);
}

sub slowly {
    my ($body, $size) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port(0))
        or die "connect: $!";
    my $length = $size == 1 ? length $body : length($body) + 1;

    $s->autoflush(1);
    syswrite $s, head('/mcp', "Content-Length: $length\r\n") . "\r\n";

    for (unpack "(a$size)*", $body) {
        syswrite $s, $_;
        sleep 0.0005;
    }

    my $buf = '';
    my $sel = IO::Select->new($s);

    while ($sel->can_read(4)) {
        sysread $s, $buf, 65536, length $buf or last;
    }

    return http_parse($buf);
}

sub frames {
    my ($self, $body, $size, %o) = @_;
    my @parts = unpack "(a$size)*", $body;

    return h2_open($t->port(1), [ @pseudo, @ours ],
                   [ (map { [ 0, 0, $_ ] } @parts[0 .. $#parts - 1]),
                     [ 0, $o{open} ? 0 : 1, $parts[-1] ] ], timeout => 4);
}

sub frame {
    my ($name, $want, $headers, $frames, %o) = @_;

    $b->add($n, $name, $want, v => [ 2 ], h2 => sub {
        my ($self) = @_;

        h2_open($t->port(1), $headers, $frames, timeout => $o{timeout} || 2,
                gone => $o{gone}, flags => $o{flags});
    }, %o);
}


# TLS

sub certificate {
    my $dir = $t->dir();

    return system("openssl req -x509 -newkey rsa:2048 -nodes -days 2"
                  . " -subj /CN=a -keyout $dir/key.pem -out $dir/cert.pem"
                  . " >$dir/openssl.log 2>&1") == 0;
}

sub s_client {
    my ($in, @args) = @_;
    my $dir = $t->dir();

    $t->write('early.in', $in);

    return "(cat $dir/early.in; sleep 1) | timeout 5 openssl s_client -tls1_3"
        . " -ign_eof @args 2>&1";
}

sub tls_session {
    my $command = s_client(head('/mcp', "Content-Length: 0\r\n") . "\r\n",
                           '-connect', '127.0.0.1:' . $t->port(3),
                           '-sess_out', $t->dir() . '/sess.pem');

    `$command`;
}

# what a client sends before it has heard from the server, and nothing else;
# or the same bytes once more

sub early_data {
    my ($again) = @_;
    my $dir = $t->dir();

    $t->write('early.req', head('/mcp', "Content-Length: $len\r\n")
                           . "\r\n$good");

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die "listen: $!";

    open my $out, '-|', s_client('', '-connect',
                                 '127.0.0.1:' . $listen->sockport,
                                 '-sess_in', "$dir/sess.pem",
                                 '-early_data', "$dir/early.req")
        or die "openssl: $!";

    my $client = $listen->accept or die "accept: $!";
    my $flight = '';

    while (IO::Select->new($client)->can_read(0.3)) {
        sysread $client, $flight, 65536, length $flight or last;
    }

    relay($flight, $client);
    close $client;

    local $/;
    my $text = <$out>;
    close $out;

    like($text, qr/Early data was accepted/, 'B54 early data was accepted');

    if ($again) {
        relay($flight);
        return http_parse('');
    }

    # s_client has more to say

    my ($answer) = $text =~ m/(HTTP\/1\.1 .*?\r\n\r\n(?:\{.*?\}\}\})?)/s;

    return http_parse(defined $answer ? $answer : '');
}

sub relay {
    my ($flight, $client) = @_;
    my $end = time() + 1;

    my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1:'
                                                   . $t->port(3))
        or die "connect: $!";

    syswrite $server, $flight;

    while (IO::Select->new($server)->can_read($end - time())) {
        sysread $server, my $data, 65536 or last;
        syswrite $client, $data if $client;
    }
}

# each has left its record

sub no_early {
    my ($r, $name, $self) = @_;
    my $n;

    for (1 .. 100) {
        $n = grep { $_->{reason} eq 'EARLY_DATA' }
             $t->audit_records('INTENT');
        last if $n > ($self->{early} || 0);
        sleep 0.02;
    }

    cmp_ok($n, '>', $self->{early} || 0, "$name: is on record");
    $self->{early} = $n;
}
