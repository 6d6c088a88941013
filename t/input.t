#!/usr/bin/perl

# Guards bad input.  The rows carry the numbers of the requirements: B9 to B18
# of the list for MCP proxies (framing) and T16 to T19 of the list for JSON.
# Each is refused with the status and the JSON-RPC code of its kind and with
# the id of the request if that could be read, and never reaches the upstream,
# over HTTP/1.1 and HTTP/2, in one piece and in pieces.  Then what is slow, cut
# off or never ends: nothing is left of it, and nothing hangs.

use strict;
use warnings;

use FindBin;
use IO::Compress::Deflate qw/deflate/;
use IO::Compress::Gzip qw/gzip/;
use Socket qw/SOL_SOCKET SO_LINGER/;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::HTTP2;
use ArmorIQ::Rows;


my $t = ArmorIQ->new(ports => 2);

my $key = $t->init_store(mcps => [ qw/infra-mcp wide-mcp strict-mcp/ ]);

$t->upstream();

# not every nginx has it

my $binary = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
my $stub = `$binary -V 2>&1` =~ /stub_status/
    ? 'location = /connections { stub_status; }' : '';

$t->run(<<"EOF");
%%ARMORIQ%%
client_body_timeout 2s;
client_body_buffer_size 16k;
client_max_body_size 4m;
lingering_timeout 500ms;
proxy_http_version 1.1;
proxy_set_header Connection close;

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;
    listen 127.0.0.1:%%PORT1%% http2;

    location / { armoriq_api on; }
    $stub

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }

    location = /wide {
        armoriq on;
        armoriq_mcp wide-mcp;
        armoriq_max_body 4m;
        proxy_pass http://infra/mcp;
    }

    location = /strict {
        armoriq on;
        armoriq_mcp strict-mcp;
        client_max_body_size 1m;
        proxy_pass http://infra/mcp;
    }
}
EOF

my $many = 1_000_000;

my $plan = { goal => 'input', steps => [
    (map { { action => 'infra.scale', mcp => $_, max_uses => $many } }
     qw/infra-mcp wide-mcp strict-mcp/),
    { action => 'infra.list', mcp => 'infra-mcp', params => {},
      max_uses => $many },
    { action => 'infra.restart', mcp => 'infra-mcp',
      params => { n => 1, z => 0, big => 9007199254740991 },
      max_uses => $many },
] };

my $issued = $t->request_token(plan => $plan, seconds => 600);
my $jws = $issued->{jwt_token};

ok($jws, 'token') or BAIL_OUT('no token');

my $type = "Content-Type: application/json\r\n";
my $token = "Authorization: Bearer $jws\r\n";
my $json = $type . $token;

# an id that would not survive being written anew

my $id = '"\u0061\/\"' . "\xc3\xa9" . '\ud83d\ude00"';

my $call = call('infra.list', '{}');
my $kill = call('infra.kill', '{}');

rows($t);

permitted('the call that the rows are made of', send_body($call, $json));


# Rows: [ name, body, status, reason, code, id or undef, headers ].  What is
# refused for its headers has no id, as nobody has read it.

my @rows;

sub row {
    my ($name, $body, $reason, %o) = @_;

    push @rows, [ $name, $body, $o{status} || 400, $reason,
                  $o{code} || $o{status} || -32600, $o{id},
                  defined $o{headers} ? $o{headers} : $json ];
}

# B9: batches, whatever the revision says about them

my $init = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{'
    . '"protocolVersion":"2025-03-26","capabilities":{},'
    . '"clientInfo":{"name":"x","version":"1"}}}';

for my $version ('', '2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28') {
    my $headers = $json
        . ($version ? "MCP-Protocol-Version: $version\r\n" : '');

    for ([ 'one', "[$call]" ], [ 'two', "[$call,$call]" ],
         [ 'initialize and a call', "[$init,$call]" ], [ 'none', '[]' ],
         [ 'a batch', "[[$call]]" ], [ 'numbers', '[1,2]' ])
    {
        row("mcp-B9: a batch of $_->[0], " . ($version || 'no revision'),
            $_->[1], 'BATCH_NOT_ALLOWED', headers => $headers);
    }
}

# B10: a key twice; the id is not believed, as it could be the one

my $escaped = join '', map { sprintf '\\u%04X', ord } qw/n a m e/;

my %twice = (
    jsonrpc => $call =~ s/\{/{"jsonrpc":"2.0",/r,
    id => $call =~ s/\{/{"id":2,/r,
    method => $call =~ s/\{/{"method":"tools\/list",/r,
    'method, the same' => $call =~ s/\{/{"method":"tools\/call",/r,
    params => $call =~ s/\{/{"params":{},/r,
    name => $call =~ s/"name"/"name":"infra.kill","name"/r,
    arguments => $call =~ s/"arguments"/"arguments":{},"arguments"/r,
    _meta => $call =~ s/"name"/"_meta":{},"_meta":{},"name"/r,
    'a key of _meta' => $call =~ s/"name"/"_meta":{"a":1,"a":1},"name"/r,
    'a key of an argument' => call('infra.scale',
                                   '{"a":{"b":[{"c":1,"c":2}]}}'),
    'method in escapes' => $call =~ s/\{/{"m\\u0065thod":"ping",/r,
    'name in escapes' => $call =~ s/"name"/"$escaped":"infra.kill","name"/r,
    'a slash in escapes' => call('infra.scale', '{"a\/b":1,"a/b":2}'),
    'a pair of surrogates' => call('infra.scale',
        '{"\ud83d\ude00":1,"' . "\xf0\x9f\x98\x80" . '":2}'),
    'the empty key' => call('infra.scale', '{"":1,"":2}'),
    'the first and the last of 2000' => call('infra.scale',
        '{' . join(',', map { "\"k$_\":1" } 1 .. 2000) . ',"k1":2}'),
);

row("mcp-B10, T16: $_ twice", $twice{$_}, 'JSON_DUPLICATE_KEY')
    for sort keys %twice;

# B11: encoded bodies

{
    my ($gz, $zz) = ('', '');

    gzip(\$call => \$gz);
    deflate(\$call => \$zz);

    for ([ gzip => $gz ], [ 'x-gzip' => $gz ], [ deflate => $zz ],
         [ br => $call ], [ zstd => $call ], [ compress => $call ],
         [ identity => $call ], [ 'gzip, gzip' => $gz ], [ GZIP => $gz ])
    {
        row("mcp-B11: Content-Encoding: $_->[0]", $_->[1],
            'CONTENT_ENCODING', status => 415,
            headers => "${json}Content-Encoding: $_->[0]\r\n");
    }

    row("mcp-B11: $_->[0] that is not announced", $_->[1],
        qr/^JSON_(?:INVALID|ENCODING)$/, code => -32700)
        for [ gzip => $gz ], [ deflate => $zz ];
}

# B12: only JSON, only UTF-8

for ('text/plain', 'application/json-rpc', 'application/jsonp', 'text/json',
     'application/vnd.api+json', 'application/x-www-form-urlencoded',
     'multipart/form-data; boundary=x', 'application/octet-stream',
     'application/json; charset=utf-16le', 'application/json; charset=utf-7',
     'application/json; charset=iso-8859-1', 'application/json; charset=',
     'application/json, text/plain', '*/*')
{
    row("mcp-B12: Content-Type: $_", $call, 'CONTENT_TYPE', status => 415,
        headers => "Content-Type: $_\r\n$token");
}

row('mcp-B12: no Content-Type', $call, 'CONTENT_TYPE', status => 415,
    headers => $token);

my %encoding = (
    'a byte order mark' => "\xef\xbb\xbf$call",
    'UTF-16LE' => join('', map { "$_\0" } split //, $call),
    'UTF-16BE' => join('', map { "\0$_" } split //, $call),
    'UTF-16LE with its mark' => "\xff\xfe"
                                . join('', map { "$_\0" } split //, $call),
    'UTF-16BE with its mark' => "\xfe\xff"
                                . join('', map { "\0$_" } split //, $call),
    'UTF-32LE' => join('', map { "$_\0\0\0" } split //, $call),
    'ISO-8859-1' => argument("\"\xe9\""),
    'half a character' => argument("\"\xc3\""),
    'a byte of continuation' => argument("\"\x80\""),
    'overlong' => argument("\"\xc0\xaf\""),
    'overlong, three bytes' => argument("\"\xe0\x80\xaf\""),
    'overlong NUL' => argument("\"\xc0\x80\""),
    'a surrogate as three bytes' => argument("\"\xed\xa0\x80\""),
    'beyond U+10FFFF' => argument("\"\xf4\x90\x80\x80\""),
    '0xff' => argument("\"\xff\""),
    'a lone high surrogate' => argument('"\ud800"'),
    'a lone low surrogate' => argument('"\udc00"'),
    'swapped surrogates' => argument('"\udc00\ud800"'),
    'a lone surrogate in a key' => call('infra.scale', '{"\ud800":1}'),
);

row("mcp-B12, T16: $_", $encoding{$_}, qr/^JSON_(?:INVALID|ENCODING)$/,
    code => -32700) for sort keys %encoding;

# B13, T16: what is not JSON

my %broken = (
    'nothing' => '', 'a blank' => ' ', 'a brace' => '{',
    'a byte behind' => "${call}x", 'a brace behind' => "$call}",
    'a second document' => "$call$call", 'a line behind' => "$call\n$call",
    'a NUL behind' => "$call\0", 'a NUL in front' => "\0$call",
    'a NUL in a string' => argument("\"\0\""),
    'a NUL in a key' => call('infra.scale', "{\"a\0\":1}"),
    'a NUL between' => argument("\0001"),
    'NUL in escapes' => argument('"\u0000"'),
    'NUL in escapes in a key' => call('infra.scale', '{"a\u0000":1}'),
    'NUL in escapes in the method' => $call =~ s/call"/call\\u0000"/r,
    'NaN' => argument('NaN'), '-NaN' => argument('-NaN'),
    'Infinity' => argument('Infinity'), '-Infinity' => argument('-Infinity'),
    'a comment' => argument('1/**/'), 'a comment behind' => "$call//",
    'a comment with #' => "#\n$call",
    'a comma too many' => argument('[1,]'),
    'a comma at the end' => call('infra.scale', '{"a":1,}'),
    'two commas' => argument('[1,,2]'),
    'a key without quotes' => call('infra.scale', '{a:1}'),
    'single quotes' => argument("'a'"),
    'a tab in a string' => argument("\"\t\""),
    'a form feed between' => argument("\f1"),
    'a blank of Unicode' => argument("\xc2\xa0" . '1'),
    'hexadecimal' => argument('0x10'), 'a leading zero' => argument('01'),
    'a leading plus' => argument('+1'), 'a leading dot' => argument('.5'),
    'a trailing dot' => argument('1.'), 'half an exponent' => argument('1e'),
    'True' => argument('True'), 'undefined' => argument('undefined'),
    'an escape that is none' => argument('"\x41"'),
    'half an escape' => argument('"\u00"'),
    'a string that does not end' => '{"jsonrpc":"2.0","id":"',
    'half of it' => substr($call, 0, length($call) / 2),
);

row("mcp-B13, T16: $_", $broken{$_}, qr/^JSON_(?:INVALID|ENCODING)$/,
    code => -32700) for sort keys %broken;

row("mcp-B13, T16: nested in $_->[0]", $_->[1], 'JSON_TOO_DEEP')
    for [ '65 arrays', argument('[' x 65 . ']' x 65) ],
        [ '65 objects', argument('{"a":' x 65 . '1' . '}' x 65) ],
        [ '100000 arrays', argument('[' x 100_000 . ']' x 100_000) ],
        [ 'arrays that do not end', argument('[' x 100_000) ];

row("T16: $_->[0] at the top", $_->[1], 'JSON_NOT_OBJECT')
    for [ 'a string', '"tools/call"' ], [ 'a number', '1' ],
        [ 'null', 'null' ], [ 'true', 'true' ];

# B14, T19: ids

row("mcp-B14, T19: id $_", $call =~ s/\Q$id\E/$_/r, 'RPC_INVALID')
    for qw/null 1.5 -0.1 true false [] [1] {}/;

row("mcp-B14, T17: id $_", $call =~ s/\Q$id\E/$_/r, 'JSON_NUMBER')
    for qw/9007199254740992 -9007199254740992 9007199254740993
           18446744073709551616 1e999/;

# echoed as they are

for my $i ('0', '-1', '9007199254740991', '-9007199254740991', '""', '"1"',
           '"\u0001"', '"\\\\\"\/\b\f\n\r\t"', "\"\x7f\"",
           "\"\xe2\x80\xa8</script>\"", '"\ud83d\ude00"',
           '"9007199254740993"', '"' . 'x' x 5000 . '"')
{
    row("mcp-B14: id $i", $kill =~ s/\Q$id\E/$i/r,
        'STEP_NOT_PLANNED', status => 409, id => $i);
}

# B15: a call without an id is one

row("mcp-B15: a call without an id, $_->[0]",
    $_->[1] =~ s/"id":\Q$id\E,//r, $_->[2], status => $_->[3],
    code => $_->[4], headers => $_->[5])
    for [ 'not planned', $kill, 'STEP_NOT_PLANNED', 409 ],
        [ 'no token', $call, 'TOKEN_MISSING', 401, undef,
          "${type}X-API-Key: $key\r\n" ],
        [ 'nobody', $call, 'IDENTITY_MISSING', 401, undef, $type ],
        [ 'ambiguous', $call =~ s/\{/{"Method":"ping",/r, 'RPC_AMBIGUOUS',
          400, -32600 ];

# T17: numbers that readers read differently

row("T17: $_", argument($_), 'JSON_NUMBER')
    for qw/9007199254740992 -9007199254740992 9007199254740993
           18446744073709551615 9223372036854775807 1e400 -1e400 1E+309
           1.7976931348623159e308/, '9' x 400, '1e' . '9' x 30;

# T18: the envelope has its six members, in one spelling

for my $member (qw/jsonrpc id method params result error/) {
    for my $other (uc $member, ucfirst $member,
                   $member =~ s/s/\xc5\xbf/r, $member =~ s/s/\\u017f/r)
    {
        next if $other eq $member;

        row("T18: $member beside $other",
            $call =~ s/\{/{"$other":"tools\/list",/r, 'RPC_AMBIGUOUS',
            id => $id);

        # alone, it is not the one that it resembles

        row("T18: $other instead of $member",
            $call =~ s/"$member":/"$other":/r, 'RPC_AMBIGUOUS',
            id => $member eq 'id' ? undef : $id)
            if $call =~ /"$member":/;
    }
}

row("T18: params with $_", $call =~ s/"name"/"$_":{},"name"/r,
    'RPC_AMBIGUOUS', id => $id)
    for 'Name', 'NAME', 'Arguments', "argument\xc5\xbf", 'argument\u017f',
        '_META', 'Task', "tas\xe2\x84\xaa", 'tas\u212a', 'TaSK',
        'InputResponses';

for my $other ('x', 'Params2', 'trace', 'jsonrpc2', '', 'method ') {
    row("T18: a member \"$other\"", $call =~ s/\{/{"$other":1,/r,
        'RPC_INVALID', id => $id);
    row("T18: a parameter \"$other\"",
        $call =~ s/"name"/"$other":1,"name"/r, 'RPC_INVALID', id => $id);
}

# T19: JSON-RPC 2.0

row("T19: jsonrpc $_", $call =~ s/"2\.0"/$_/r, 'RPC_INVALID', id => $id)
    for '"1.0"', '"2.00"', '"2.0 "', '"2"', '2.0', '2', 'null', '""', '[]',
        '"\u0032.1"';

row('T19: no jsonrpc', $call =~ s/"jsonrpc":"2\.0",//r, 'RPC_INVALID',
    id => $id);

row("T19: method $_", $call =~ s/"tools\/call"/$_/r, 'RPC_INVALID',
    id => $id)
    for 'null', '7', '""', '{}', '["tools/call"]', '"tools/c\u00e0ll"',
        "\"tools/c\xc3\xa0ll\"", '"' . 'x' x 129 . '"', '"a\n"',
        '"a\u007f"';

row("T19: params $_", $call =~ s/"params":.*/"params":$_}/r, 'RPC_INVALID',
    id => $id)
    for 'null', '1', '"x"', '[]', '["infra.list"]', '{}', '{"name":null}',
        '{"name":7}', '{"name":""}',
        '{"name":"infra.list","arguments":null}',
        '{"name":"infra.list","arguments":[]}',
        '{"name":"infra.list","arguments":"{}"}',
        '{"name":"infra.list","_meta":1}';

row('T19: no params', $call =~ s/,"params".*/}/r, 'RPC_INVALID', id => $id);
row("T19: $_ as well", $call =~ s/\}\z/,"$_":{}}/r, 'RPC_INVALID', id => $id)
    for qw/result error/;


for (@rows) {
    my ($name, $body, $status, $reason, $code, $echo, $headers) = @$_;
    my @want = ($status, $reason, $code, $echo);

    bad($name, send_body($body, $headers), @want);
    bad("$name, HTTP/2", h2($t->port(1), '/mcp', body => $body,
                            headers => $headers), @want);

    # in pieces that end anywhere

    bad("$name, in chunks", send_raw("POST /mcp HTTP/1.1\r\n$headers"
        . chunked($body, 1 + int length($body) / 5)), @want)
        if length $body < 20_000;
}


# B15: one that is planned is a call as well, with a record and an outcome

{
    my $body = $call =~ s/"id":\Q$id\E,//r;
    my $before = permits();

    permitted('mcp-B15: a call without an id', send_body($body, $json), 202);
    is(permits(), $before + 1, 'with a record');
    is($t->last_hit()->{body}, $body, 'and forwarded as it is');
}


# B16: a body in memory, in a file, in pieces: one verdict

for my $size (15_000, 17_000, 900_000, 2_000_000) {
    my $good = call('infra.scale', '{"text":"' . 'x' x $size . '"}');
    my $evil = $good =~ s/infra\.scale/infra.kill/r;
    my $twice = $good =~ s/\}\z/,"method":"ping"}/r;
    my $name = "mcp-B16: $size bytes";

    for ([ 'HTTP/1.1', sub { send_body($_[0], $json, path => '/wide') } ],
         [ 'chunks', sub { send_raw("POST /wide HTTP/1.1\r\n$json"
                                    . chunked($_[0], 7001)) } ],
         [ 'HTTP/2', sub { h2($t->port(1), '/wide', body => $_[0],
                              headers => $json, timeout => 15) } ])
    {
        my ($how, $send) = @$_;

        permitted("$name, $how", $send->($good));
        ok($t->last_hit()->{body} eq $good, 'byte by byte');
        bad("$name, $how, not planned", $send->($evil), 409,
            'STEP_NOT_PLANNED', 409, $id);
        bad("$name, $how, a key twice at the end", $send->($twice), 400,
            'JSON_DUPLICATE_KEY', -32600, undef);
    }

    next if $size < 1_000_000;

    for ([ 'armoriq_max_body', '/mcp', 'BODY_TOO_LARGE' ],
         [ 'client_max_body_size', '/strict', 'HTTP_413' ])
    {
        my ($limit, $path, $reason) = @$_;

        bad("$name, $limit", send_body($good, $json, path => $path), 413,
            $reason, 413, undef);
        bad("$name, $limit, chunks",
            send_raw("POST $path HTTP/1.1\r\n$json" . chunked($good, 7001)),
            413, $reason, 413, undef);
        bad("$name, $limit, HTTP/2",
            h2($t->port(1), $path, body => $good, headers => $json), 413,
            $reason, 413, undef);
    }
}

bad('mcp-B16: an announced length of 2^62', http_parse(http_raw($t->port(0),
    "POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n$json"
    . "Content-Length: 4611686018427387904\r\n\r\n")),
    413, 'HTTP_413', 413, undef);


# B17: the bytes that were judged, in whatever way they are written

for my $body (
    $call, " \r\n\t$call\n ", $call =~ s/:/ : /gr =~ s/,/ ,\n/gr,
    $call =~ s/infra\.list/infra\\u002elist/r,
    $call =~ s/tools\/call/tools\\\/call/r,
    $call =~ s/"params"/"p\\u0061rams"/r,
    call('infra.scale', '{"a":1.0,"b":1e2,"c":-0,"d":1E-2,"e":0.1e+1}'),
    call('infra.scale', '{"z":1,"a":{"z":[],"a":{}},"":null}'),
    call('infra.scale', '{"a":"' . "\xe2\x80\xa8\xf0\x9f\x98\x80" . '\/"}'),
    call('infra.scale', '{"a":1e-400}'),
    call('infra.scale', '{"a":' . '[' x 60 . ']' x 60 . '}'),
) {
    for my $version (1, 2) {
        permitted('mcp-B17: ' . label($body) . ", HTTP/$version",
                  $version == 1 ? send_body($body, $json)
                  : h2($t->port(1), '/mcp', body => $body,
                       headers => $json));
        is($t->last_hit()->{body}, $body, 'byte by byte');
    }
}

# T17: one number, several spellings

for my $args ('{"n":1,"z":0,"big":9007199254740991}',
              '{"z":-0,"n":1.0,"big":9007199254740991.0}',
              '{"big":9007199254740991e0,"n":10e-1,"z":0e5}')
{
    permitted("T17: $args", send_body(call('infra.restart', $args), $json));
}

for my $args ('{"n":1.0000000000000002,"z":0,"big":9007199254740991}',
              '{"n":1,"z":5e-324,"big":9007199254740991}',
              '{"n":1,"z":0,"big":9007199254740990}',
              '{"n":"1","z":0,"big":9007199254740991}',
              '{"n":true,"z":false,"big":9007199254740991}')
{
    bad("T17: $args is another", send_body(call('infra.restart', $args),
                                           $json),
        409, 'STEP_PARAMS', 409, $id);
}


# B18: as plain nginx does it

my $head = "POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n$json";

permitted('mcp-B18: chunks, an extension and a trailer',
    http_parse(http_raw($t->port(0), "${head}Transfer-Encoding: chunked\r\n"
        . sprintf "\r\n%x;a=b\r\n%s\r\n0\r\nX-Trailer: x\r\n\r\n",
                  length $call, $call)));
is($t->last_hit()->{body}, $call, 'are no part of the body');
is($t->last_hit()->{headers}{'x-trailer'}, undef, 'nor of the headers');

{
    my ($te, $chunks) = chunked($kill, 9) =~ /^(.*?\r\n\r\n)(.*)/s;
    my $s = connected();

    syswrite $s, "${head}Expect: 100-continue\r\n$te";
    like(some($s), qr{^HTTP/1\.1 100 }, 'mcp-B18: 100-continue, chunked');
    syswrite $s, $chunks;
    bad('mcp-B18: and refused then', http_parse(drain($s)), 409,
        'STEP_NOT_PLANNED', 409, $id);
}

for ([ 'permitted', $call ], [ 'refused', $kill ]) {
    my ($which, $body) = @$_;
    my $n = length $body;
    my $s = connected();

    syswrite $s, $_
        for split //, "${head}Content-Length: $n\r\n\r\n$body";
    verdict("mcp-B18: one byte at a time, $which", $which,
            http_parse(drain($s)));

    $s = connected();
    syswrite $s, $_ for split //, $head . chunked($body, 1);
    verdict("mcp-B18: one byte a chunk, $which", $which,
            http_parse(drain($s)));

    verdict("mcp-B18: one byte a frame, $which", $which,
            h2($t->port(1), '/mcp', frames => [ split //, $body ],
               headers => $json));
    verdict("mcp-B18: an empty frame at the end, $which", $which,
            h2($t->port(1), '/mcp', frames => [ $body, '' ],
               headers => $json));

    # slow, but no silence is as long as client_body_timeout

    my @halves = unpack '(a' . int($n / 2 + 1) . ')*', $body;

    $s = connected();
    syswrite $s, "${head}Content-Length: $n\r\n\r\n$halves[0]";
    sleep 0.7;
    syswrite $s, $halves[1];
    verdict("mcp-B18: slow, $which", $which, http_parse(drain($s)));
    verdict("mcp-B18: slow, HTTP/2, $which", $which,
            h2($t->port(1), '/mcp', frames => \@halves, pause => 0.7,
               headers => $json));
}

# in HTTP/2 a body must be as long as it was announced

for (1, -1) {
    my $length = $_ + length $call;

    bad("mcp-B18: HTTP/2, $length bytes announced", h2($t->port(1), '/mcp',
        frames => [ $call ], headers => "${json}Content-Length: $length\r\n"),
        400, 'HTTP_400', 400, undef);
}


# what never ends

my ($worker) = $t->workers();
my $fds;

quiet();
$fds = fds();

{
    my @slow = map { begin($_) }
        "Content-Length: 1000\r\n\r\n", "Content-Length: 1000\r\n\r\n{\"json",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"js",
        "Content-Length: 100000\r\n\r\n{" . ' ' x 50_000;

    my @answers = map { drain($_) } @slow;

    is(scalar(grep { $_ eq '' || /^HTTP\/1\.1 408/ } @answers), @slow,
       'bodies that do not end: no answer, or 408');
    unlike("@answers", qr/<html/, 'but no page');
    is(seen(), 0, 'and no call');

    for ([ '{"jsonrpc":', '"2.0"' ], [ ' ' x 50_000, '{' ]) {
        my $r = h2($t->port(1), '/mcp', frames => $_, pause => 3.5,
                   headers => $json);

        like($r->{status}, qr/^(?:0|408)$/, 'HTTP/2: the same');
        is(seen(), 0, 'and no call');
    }
}

# gone in the middle of the body: in memory, in a file, in a chunk; then with
# all of it, in memory and in a file, but with nobody who waits

sub leave {
    my ($n) = @_;

    for my $i (1 .. $n) {
        my $s = begin($i % 3 == 0 ? 'Content-Length: ' . length($call)
                                    . "\r\n\r\n"
                                    . substr $call, 0, $i % length $call
                    : $i % 3 == 1 ? "Content-Length: 100000\r\n\r\n"
                                    . ' ' x 40_000
                    : "Transfer-Encoding: chunked\r\n\r\nffff\r\n"
                      . ' ' x 20_000);

        hang_up($s, $i % 2);
    }

    for my $i (1 .. $n) {
        my $body = $i % 2 ? $call
                 : call('infra.scale', '{"text":"' . 'x' x 40_000 . '"}');

        hang_up(begin('Content-Length: ' . length($body) . "\r\n\r\n$body"),
                $i % 3);
    }

    quiet();
}

leave(50);
is(fds(), $fds, '100 clients that left: no file is open');

my $warm = rss();

leave(50) for 1 .. 3;
is(fds(), $fds, '300 more: no file is open');

# ASAN keeps what was freed, to find who uses it

cmp_ok(rss() - $warm, '<', $ENV{TEST_NGINX_PRELOAD} ? 65536 : 2048,
       'and memory does not grow, in kB');

is(connections(), 1, 'no connection is left') if $stub;
is_deeply([ grep { -f } glob $t->dir() . '/tmp_client_body/*' ], [],
          'and no temporary file');
is_deeply([ $t->workers() ], [ $worker ], 'no worker has died');

seen();
permitted('one more call', send_body($call, $json));
permitted('one more call, HTTP/2', h2($t->port(1), '/mcp', body => $call,
                                      headers => $json));

my ($code, $out) = $t->audit_verify();

is($code, 0, 'armoriqctl audit verify') or diag($out);

$t->done_testing();


sub call {
    my ($tool, $args) = @_;

    return "{\"jsonrpc\":\"2.0\",\"id\":$id,\"method\":\"tools/call\","
        . "\"params\":{\"name\":\"$tool\",\"arguments\":$args}}";
}

sub argument { call('infra.scale', "{\"a\":$_[0]}") }

sub bad {
    my ($name, $r, $status, $reason, $code, $echo) = @_;
    my $e = ref $r->{json} eq 'HASH' ? $r->{json}{error} : undef;

    # as text: the bytes of the id count

    my ($got) = $r->{body}
        =~ /\A\{"jsonrpc":"2\.0",(?:"id":(.*?),)?"error":/s;

    is_deeply([ $r->{status}, ArmorIQ::Rows::same($r->{why}, $reason),
                ref $e eq 'HASH' ? $e->{code} : undef,
                $r->{headers}{'content-type'}, $got, seen() ],
              [ $status, $reason, $code, 'application/json', $echo, 0 ],
              label($name)) or diag(substr $r->{raw}, 0, 1000);
}

sub verdict {
    my ($name, $which, $r) = @_;

    return permitted($name, $r) if $which eq 'permitted';

    return bad($name, $r, 409, 'STEP_NOT_PLANNED', 409, $id);
}

# those of refusals may still be on their way

sub permits {
    return scalar grep { $_->{verdict} eq 'PERMIT' }
                  $t->audit_records('INTENT');
}

sub begin {
    my ($rest) = @_;
    my $s = connected();

    syswrite $s, $head . $rest;

    return $s;
}

# with FIN or with RST

sub hang_up {
    my ($s, $reset) = @_;

    setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0 if $reset;
    close $s;
}

sub some {
    my ($s) = @_;
    my $buf = '';

    sysread $s, $buf, 4096 if IO::Select->new($s)->can_read(5);

    return $buf;
}

sub connections {
    my $r = http_parse(http($t->port(0), '/connections'));

    return $r->{body} =~ /^Active connections: (\d+)/ ? $1 : -1;
}

# waits until the connection that asks is the only one, if nginx can tell

sub quiet {
    return if !$stub;

    for (1 .. 200) {
        return if connections() == 1;
        sleep 0.05;
    }
}

# The last connections may not be closed yet: as many as before, or what they
# are when none has been closed for a second.

sub fds {
    my ($n, $same) = (0, 0);

    for (1 .. 300) {
        my @fds = glob "/proc/$worker/fd/*";

        $same = @fds == $n ? $same + 1 : 0;
        $n = @fds;

        last if defined $fds ? $n == $fds : $same == 50;
        sleep 0.02;
    }

    return $n;
}

sub rss {
    open my $f, '<', "/proc/$worker/status" or return 0;
    local $/;

    return <$f> =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}
