#!/usr/bin/perl

# Guards the rows of the bypass matrix that are about what a call is and who
# makes it: B36 to B42 methods, mirrored headers and JSON, B52 other tenants,
# B58 limits, B59 tokens in URLs, B60 sessions, B63 what is open.  A row that
# reaches the server with a call that was not judged as the server reads it,
# or for somebody else, is a way around the decision.
#
# At the end the same rows are sent with "armoriq off".

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Bypass;


my $t = ArmorIQ->new(ports => 2);

my @names = qw/mcp new rules cors lim ten/;
my @store = ('--store', $t->store());

my $key = $t->init_store(mcps => [ map { "mcp-$_" } @names ]);

$t->ctl_ok('org', 'add', @store, 'other');
$t->ctl_ok('mcp', 'add', @store, '--org', 'other', "mcp-$_") for @names;
$t->ctl_ok('policy', 'add', @store, '--org', 'other',
           $t->write('other.json', json_text({ name => 'all',
                                               allow => [ '*' ] })));

$t->upstream(answer => \&answer);

my $locations = <<'EOF';
location /      { proxy_pass http://g; }
location /mcp   { armoriq on; armoriq_mcp mcp-mcp; proxy_pass http://g; }
location /new   { armoriq on; armoriq_mcp mcp-new protocol=2026-07-28;
                  proxy_pass http://g; }
location /rules { armoriq on; armoriq_mcp mcp-rules;
                  armoriq_method resources/read intent;
                  armoriq_method ping tools/list off;
                  armoriq_method tasks/* x/y identity;
                  armoriq_method * identity;
                  armoriq_method tasks/cancel off;
                  proxy_pass http://g; }
location /cors  { armoriq on; armoriq_mcp mcp-cors;
                  armoriq_origins https://app.example.com;
                  proxy_pass http://g; }
location /lim   { armoriq on; armoriq_mcp mcp-lim;
                  armoriq_limit rate=1r/h key=user; proxy_pass http://g; }
location /ten   { armoriq on; armoriq_mcp mcp-ten; proxy_pass http://g; }
location /api/  { armoriq_api on; }
EOF

my $other = <<'EOF';
server_name other *.other.example.com;
location /mcp   { armoriq on; armoriq_mcp mcp-mcp; armoriq_org other;
                  proxy_pass http://g; }
location /      { proxy_pass http://g; }
EOF

my $lint = has_lint($t) ? 'armoriq_lint warn;' : '';

my $conf = <<"EOF";
%%ARMORIQ%%
$lint
upstream g { server %%UPSTREAM%%; armoriq_guard; }
server { listen 127.0.0.1:%%PORT0%%; $locations }
server { listen 127.0.0.1:%%PORT1%% http2; $locations }
server { listen 127.0.0.1:%%PORT0%%; $other }
server { listen 127.0.0.1:%%PORT1%% http2; $other }
EOF

$t->run($conf, workers => 2);

my $jws = token();

ok($jws, 'token') or BAIL_OUT('no token');

my $b = ArmorIQ::Bypass->new($t, 'bypass_mcp', jws => $jws, key => $key);

my $json = "Content-Type: application/json\r\n";
my $good = call('call');
my $evil = call('evil');
my $n;

my $once = [ 200, '', 1 ];
my $nobody = [ 401, 'IDENTITY_MISSING', 0 ];
my $unplanned = [ 409, 'STEP_NOT_PLANNED', 0 ];
my $mismatch = [ 400, 'HEADER_MISMATCH', 0 ];
my $session = [ 404, 'SESSION_UNKNOWN', 0 ];


# B36: methods

$n = 36;

for my $method (qw{tools/call2 Tools/Call TOOLS/CALL tools/call/ /tools/call
                   tools.call tools/CALL completion/complete resources/read
                   resources/subscribe prompts/get tasks/get tasks/result
                   tasks/cancel tasks/update sampling/createMessage
                   elicitation/create logging/setLevel roots/list rpc.discover
                   notifications/x tools/call;x tools%2fcall})
{
    $b->add($n, "$method, $_", [ 403, 'RPC_METHOD', 0 ], who => $_,
            body => rpc_text($method, { name => 'call', arguments => {} }))
        for qw/good key/;
}

$b->add($n, "$_->[0]", [ 400, 'RPC_INVALID', 0 ],
        body => $good =~ s{tools/call}{$_->[1]}r)
    for [ 'a Cyrillic a', "tools/c\xd0\xb0ll" ],
        [ 'a fullwidth slash', "tools\xef\xbc\x8fcall" ],
        [ 'a blank behind', 'tools/call ' ], [ 'a tab', 'tools/call\t' ],
        [ 'a line feed', 'tools/call\n' ], [ 'a zero width space',
          "tools/call\xe2\x80\x8b" ], [ 'a long s in escapes',
          'tool\u017f/call' ], [ 'empty', '' ], [ '129 bytes', 'x' x 129 ];
$b->add($n, 'escapes are read before', $unplanned,
        body => $evil =~ s{tools/call}{t\\u006fols\\/c\\u0061ll}r);
$b->add($n, 'nobody', [ 403, 'RPC_METHOD', 0 ], who => 'nobody',
        want2 => $nobody, body => rpc_text('tasks/get'));

# where rules are given

$b->add($n, "rules: $_->[0]", $_->[1], uri => '/rules', who => $_->[2],
        body => $_->[3])
    for [ 'intent for resources/read, with a key',
          [ 401, 'TOKEN_MISSING', 0 ], 'key',
          rpc_text('resources/read', { uri => 'file:///a' }) ],
        [ 'intent for resources/read, not planned', $unplanned, 'good',
          rpc_text('resources/read', { uri => 'file:///a' }) ],
        [ 'a tool of that name', [ 400, 'RPC_AMBIGUOUS', 0 ], 'good',
          call('resources/read') ],
        [ 'off', [ 403, 'RPC_METHOD', 0 ], 'good', rpc_text('ping') ],
        [ 'the longest wins', [ 403, 'RPC_METHOD', 0 ], 'key',
          rpc_text('tasks/cancel') ],
        [ '"* identity" does not take the intent of a call',
          [ 401, 'TOKEN_MISSING', 0 ], 'key', $good ],
        [ '"* identity", nobody', $nobody, 'nobody', rpc_text('tasks/get') ];
$b->add($n, 'rules: identity', $once, uri => '/rules', who => 'key',
        control => 1, body => rpc_text('tasks/get'));


# B37: headers that repeat the body

$n = 37;

$b->add($n, label_of($_), $mismatch, headers => $_)
    for "Mcp-Method: tools/list\r\n", "Mcp-Method: Tools/Call\r\n",
        "Mcp-Method:\r\n", "Mcp-Method: tools/call, tools/list\r\n",
        "Mcp-Name: other\r\n", "Mcp-Name:\r\n", "Mcp-Name: Call\r\n",
        "Mcp-Name: =?base64?b3RoZXI=?=\r\n", "Mcp-Name: =?base64?Y2Fsb*?=\r\n",
        "Mcp-Name: =?base64?Y2FsbA?=\r\n", "mcp-name: call2\r\n",
        "Mcp-Method: tools/call\r\nMcp-Name: other\r\n";
$b->add($n, "header and _meta: $_->[0]", $mismatch,
        headers => $_->[1] ? "MCP-Protocol-Version: $_->[1]\r\n" : '',
        body => rpc_text('tools/call', { name => 'call', arguments => {},
            _meta => { 'io.modelcontextprotocol/protocolVersion' => $_->[2] }
        }))
    for [ 'two revisions', '2025-06-18', '2025-11-25' ],
        [ 'a modern one without its header', '', '2026-07-28' ],
        [ 'modern header, old _meta', '2026-07-28', '2025-11-25' ];
$b->add($n, "2026-07-28: $_->[0]", $mismatch, body => modern('call'),
        headers => "MCP-Protocol-Version: 2026-07-28\r\n$_->[1]")
    for [ 'no Mcp-Method', "Mcp-Name: call\r\n" ],
        [ 'no Mcp-Name', "Mcp-Method: tools/call\r\n" ],
        [ 'Mcp_Name', "Mcp-Method: tools/call\r\nMcp_Name: call\r\n" ],
        [ 'Mcp-Name is another', "Mcp-Method: tools/call\r\n"
          . "Mcp-Name: evil\r\n" ];
$b->add($n, '2026-07-28: as the headers, not planned', $unplanned,
        body => modern('evil'), headers => headers_of('evil'));
$b->add($n, '2026-07-28: as the headers, planned', $once, control => 1,
        body => modern('call'), headers => headers_of('call'));
$b->add($n, "$_->[0] twice", [ 400, 'HEADER_DUPLICATE', 0 ],
        headers => "$_->[0]: $_->[1]\r\n$_->[0]: $_->[1]\r\n")
    for [ 'Mcp-Method', 'tools/call' ], [ 'Mcp-Name', 'call' ];
$b->add($n, "MCP-Protocol-Version: $_", [ 400, 'PROTOCOL_VERSION', 0 ],
        headers => "MCP-Protocol-Version: $_\r\n")
    for '2031-01-01', '1', '', '2025-06-18, 2025-11-25', '2025-6-18';


# B38: JSON that two readers read differently

$n = 38;

for ([ 'a byte order mark', 'JSON_ENCODING', "\xef\xbb\xbf$good" ],
     [ 'UTF-16', undef, join '', map { "$_\0" } split //, $good ],
     [ 'a NUL behind', undef, "$good\0" ],
     [ 'a NUL in front', undef, "\0$good" ],
     [ 'a NUL behind a number', undef, $good =~ s/"id":1/"id":1\0/r ],
     [ 'a NUL in a name', undef, $good =~ s/"call"/"call\0"/r ],
     [ 'an escaped NUL', undef, args('{"a":"\u0000"}') ],
     [ 'an escaped NUL in a key', undef, args('{"a\u0000":1}') ],
     [ 'not UTF-8', 'JSON_ENCODING', args("{\"a\":\"\xff\"}") ],
     [ 'overlong', 'JSON_ENCODING', args("{\"a\":\"\xc0\xaf\"}") ],
     [ 'a surrogate in UTF-8', 'JSON_ENCODING',
       args("{\"a\":\"\xed\xa0\x80\"}") ],
     [ 'beyond U+10FFFF', 'JSON_ENCODING',
       args("{\"a\":\"\xf4\x90\x80\x80\"}") ],
     [ 'a lone surrogate', undef, args('{"a":"\ud800"}') ],
     [ 'swapped surrogates', undef, args('{"a":"\udc00\ud800"}') ],
     [ 'NaN', undef, args('{"a":NaN}') ],
     [ 'Infinity', undef, args('{"a":Infinity}') ],
     [ 'hexadecimal', undef, args('{"a":0x10}') ],
     [ 'a plus', undef, args('{"a":+1}') ],
     [ 'a leading zero', undef, args('{"a":01}') ],
     [ 'a bare point', undef, args('{"a":1.}') ],
     [ 'a comment', undef, "/**/$good" ],
     [ 'a line comment', undef, "$good//\n" ],
     [ 'a trailing comma', undef, args('{"a":1,}') ],
     [ 'single quotes', undef, args("{'a':1}") ],
     [ 'two documents', undef, "$good$evil" ],
     [ 'two lines', undef, "$good\n$evil" ],
     [ 'a vertical tab', undef, "\x0b$good" ],
     [ 'a no-break space', undef, "\xc2\xa0$good" ],
     [ 'a raw line feed in a string', undef, args("{\"a\":\"\n\"}") ],
     [ 'the method twice', 'JSON_DUPLICATE_KEY',
       $good =~ s/\{/{"method":"tools\/list",/r ],
     [ 'the name twice', 'JSON_DUPLICATE_KEY',
       $good =~ s/"name"/"name":"evil","name"/r ],
     [ 'the name twice, once in escapes', 'JSON_DUPLICATE_KEY',
       $good =~ s/"name"/"n\\u0061me":"evil","name"/r ],
     [ 'params twice', 'JSON_DUPLICATE_KEY',
       $good =~ s/"params"/"params":{"name":"evil"},"params"/r ],
     [ 'arguments twice', 'JSON_DUPLICATE_KEY',
       $good =~ s/"arguments"/"arguments":{"a":1},"arguments"/r ],
     [ 'a key twice, deep', 'JSON_DUPLICATE_KEY',
       args('{"a":[{"b":{"c":1,"c":2}}]}') ],
     [ 'the empty key twice', 'JSON_DUPLICATE_KEY', args('{"":1,"":2}') ],
     [ '__proto__ twice', 'JSON_DUPLICATE_KEY',
       args('{"__proto__":1,"__pr\u006fto__":2}') ],
     [ 'Method', 'RPC_AMBIGUOUS',
       $good =~ s/"method"/"Method":"tools\/list","method"/r ],
     [ 'METHOD alone', undef, $good =~ s/"method"/"METHOD"/r ],
     [ 'Name', 'RPC_AMBIGUOUS', $good =~ s/"name"/"Name":"evil","name"/r ],
     [ 'paramS with a long s', 'RPC_AMBIGUOUS',
       $good =~ s/"params"/"param\xc5\xbf":{},"params"/r ],
     [ 'a long s in escapes', 'RPC_AMBIGUOUS',
       $good =~ s/"params"/"param\\u017f":{},"params"/r ],
     [ 'argumentS', 'RPC_AMBIGUOUS',
       $good =~ s/"arguments"/"argument\xc5\xbf":{},"arguments"/r ],
     [ 'task with a Kelvin sign', 'RPC_AMBIGUOUS',
       $good =~ s/"arguments"/"tas\xe2\x84\xaa":{},"arguments"/r ],
     [ 'Jsonrpc', 'RPC_AMBIGUOUS', $good =~ s/"jsonrpc"/"Jsonrpc":1,"jsonrpc"/r
     ],
     [ 'an unknown member', 'RPC_INVALID', $good =~ s/\{/{"x":1,/r ],
     [ 'an unknown parameter', 'RPC_INVALID',
       $good =~ s/"name"/"tool":"evil","name"/r ],
     [ 'a name in composed form', 'RPC_INVALID',
       $good =~ s/"call"/"c\xc3\xa4ll"/r ],
     [ '2^53', 'JSON_NUMBER', args('{"a":9007199254740992}') ],
     [ '2^53 + 1', 'JSON_NUMBER', args('{"a":9007199254740993}') ],
     [ '-2^53', 'JSON_NUMBER', args('{"a":-9007199254740992}') ],
     [ '2^63', 'JSON_NUMBER', args('{"a":9223372036854775808}') ],
     [ '1e400', 'JSON_NUMBER', args('{"a":1e400}') ],
     [ '-1e400', 'JSON_NUMBER', args('{"a":-1e400}') ],
     [ '2^53 + 1 as 1e', 'JSON_NUMBER', args('{"a":9007199254740993e0}') ],
     [ 'deep', 'JSON_TOO_DEEP',
       args('{"a":' . '[' x 70 . ']' x 70 . '}') ],
     [ 'an id of 2^53', 'JSON_NUMBER',
       $good =~ s/"id":1/"id":9007199254740992/r ],
     [ 'an id of 1.5', 'RPC_INVALID', $good =~ s/"id":1/"id":1.5/r ],
     [ 'an id of an object', 'RPC_INVALID', $good =~ s/"id":1/"id":{}/r ],
     [ 'jsonrpc 2', 'RPC_INVALID', $good =~ s/"2\.0"/2.0/r ],
     [ 'jsonrpc 1.0', 'RPC_INVALID', $good =~ s/"2\.0"/"1.0"/r ],
     [ 'no jsonrpc', 'RPC_INVALID', $good =~ s/"jsonrpc":"2\.0",//r ],
     [ 'a method that is a list', 'RPC_INVALID',
       $good =~ s/"tools\/call"/["tools\/call"]/r ],
     [ 'a string', 'JSON_NOT_OBJECT', '"tools/call"' ],
     [ 'null', 'JSON_NOT_OBJECT', 'null' ])
{
    my ($name, $why, $body) = @$_;

    $b->add($n, $name, [ 400, $why, 0 ], body => $body);
}


# B39 to B42: methods of HTTP

$n = 39;
$b->add($n, 'GET with a body', [ 400, 'BODY_UNEXPECTED', 0 ],
        method => 'GET', body => $good);
$b->add($n, 'GET with chunks', [ 400, 'BODY_UNEXPECTED', 0 ],
        raw => sub { h1_head($_[0], '/mcp', method => 'GET')
                     . "Transfer-Encoding: chunked\r\n\r\n" . chunks($good)
                     . "0\r\n\r\n" });
$b->add($n, 'GET, nobody', $nobody, method => 'GET', who => 'nobody');
$b->add($n, 'GET, a wrong key', [ 401, 'KEY_INVALID', 0 ], method => 'GET',
        only_headers => "X-API-Key: ak_live_0\r\n");
$b->add($n, 'GET, a session of nobody', $session, method => 'GET',
        headers => "Mcp-Session-Id: none\r\n");
$b->add($n, "$_, 2026-07-28", [ 405, 'METHOD_NOT_ALLOWED', 0 ],
        uri => '/new', method => $_) for qw/GET DELETE/;
$b->add($n, 'GET, text/event-stream, into the guard',
        [ 403, 'ENFORCEMENT_BYPASS', 0 ], uri => '/MCP', method => 'GET',
        headers => "Accept: text/event-stream\r\n");
$b->add($n, 'GET with an identity', [ 405, '', 1 ], method => 'GET',
        who => 'key', control => 1);

$n = 40;

my $number = 0;
my %who = (
    'another user' => [ 'Authorization', sub { token(user => 'bob') } ],
    'another agent' => [ 'Authorization', sub { token(agent => 'two') } ],
    'another org' => [ 'Authorization', sub { token(org => 'other') } ],
);

for my $name (sort keys %who) {
    my ($header, $make) = @{ $who{$name} };
    my $jws = $make->();

    $b->add($n, "DELETE by $name", $session, method => 'DELETE',
            before => \&opened, only_headers => '', %{ borrowed($jws) });
}

$b->add($n, 'DELETE, nobody', $nobody, method => 'DELETE', who => 'nobody',
        headers => "Mcp-Session-Id: session-1\r\n");
$b->add($n, 'DELETE with a body', [ 400, 'BODY_UNEXPECTED', 0 ],
        method => 'DELETE', body => $good);

$n = 41;

for my $method (qw/FOO PUT PATCH OPTIONS HEAD MKCOL PROPFIND LOCK POSTX/) {
    $b->add($n, $method, [ 405, 'METHOD_NOT_ALLOWED', 0 ], method => $method,
            body => $method eq 'HEAD' ? undef : $good);
    $b->add($n, "$method, 2026-07-28", [ 405, 'METHOD_NOT_ALLOWED', 0 ],
            uri => '/new', method => $method,
            body => $method eq 'HEAD' ? undef : $good);
}

$b->add($n, $_, [ '400|405', undef, 0 ], method => $_, body => $good,
        nginx => 1) for qw/TRACE CONNECT post Post/;
$b->add($n, 'OPTIONS of a page that is not listed',
        [ 403, 'ORIGIN_NOT_ALLOWED', 0 ], uri => '/cors',
        method => 'OPTIONS', body => $good, headers =>
        "Origin: https://evil.example.com\r\n"
        . "Access-Control-Request-Method: POST\r\n");
$b->add($n, 'POST of a page that is not listed',
        [ 403, 'ORIGIN_NOT_ALLOWED', 0 ], headers => "Origin: $_\r\n")
    for 'https://evil.example.com', 'null', '',
        'https://app.example.com.evil.example.com';

$n = 42;

for my $name (qw/X-HTTP-Method-Override X-Method-Override X-HTTP-Method/) {
    $b->add($n, $name, $once, headers => "$name: DELETE\r\n", control => 1,
            check => sub {
                is($t->last_hit()->{headers}{lc $name}, undef,
                   "$_[1]: is not sent");
            });
    $b->add($n, "$name does not make a POST of it",
            [ 405, 'METHOD_NOT_ALLOWED', 0 ], method => 'PUT', body => $good,
            headers => "$name: POST\r\n");
    $b->add($n, "$name does not make a GET of it", $unplanned,
            headers => "$name: GET\r\n", body => $evil);
}

$b->add($n, '_method in the query', $unplanned, uri => '/mcp?_method=GET',
        body => $evil);
$b->add($n, '_method in the query of a PUT',
        [ 405, 'METHOD_NOT_ALLOWED', 0 ], uri => '/mcp?_method=POST',
        method => 'PUT', body => $good);


# B52: the server of another tenant

$n = 52;

for ([ 'Host', 'other' ], [ 'Host in capitals', 'OTHER' ],
     [ 'Host with a dot', 'other.' ], [ 'Host with a port', 'other:80' ],
     [ 'Host of a wildcard', 'a.other.example.com' ])
{
    my ($name, $host) = @$_;

    $b->add($n, "$name, $_->[0]", $_->[1], host => $host, who => $_->[0],
            h2 => sub { authority($host, $_[1]) })
        for [ 'good', [ 403, 'ORG_NOT_ALLOWED', 0 ] ], [ 'nobody', $nobody ];
    $b->add($n, "$name, key", [ 403, 'ORG_NOT_ALLOWED', 0 ], host => $host,
            who => 'key', body => rpc_text('tools/list'),
            h2 => sub { authority($host, $_[1]) });
}

$b->add($n, 'absolute form, another Host', [ 403, 'ORG_NOT_ALLOWED', 0 ],
        raw => sub { h1_head($_[0], 'http://other/mcp') . length_of($good) });
$b->add($n, 'absolute form, the Host of the other', $unplanned,
        raw => sub { (h1_head($_[0], 'http://a/mcp') =~ s/Host: a/Host: other/r)
                     . length_of($evil) });
$b->add($n, 'absolute form into the guard', [ 403, 'ENFORCEMENT_BYPASS', 0 ],
        raw => sub { h1_head($_[0], 'http://other/x') . length_of($good) });
$b->add($n, 'X-Forwarded-Host', $unplanned, who => 'evil',
        headers => "X-Forwarded-Host: other\r\n");
$b->add($n, 'a token of the other org there', $once, control => 1,
        host => 'other', only_headers => $json . 'Authorization: Bearer '
        . token(org => 'other') . "\r\n",
        h2 => sub { authority('other', $_[1]) });


# B58: limits (all of it is in limits.t)

$n = 58;

my $limited = [ 429, 'RATE_LIMITED', 0 ];
my $again = token(goal => 'another');

$b->add($n, 'as many as there may be', $once, uri => '/lim', control => 1);
$b->add($n, "then: $_->[0]", $limited, uri => '/lim', %{ $_->[1] })
    for [ 'the same', {} ],
        [ 'the org in a header', { headers => "X-ArmorIQ-Org: other\r\n" } ],
        [ 'the user in a header', { headers => "X-ArmorIQ-User: bob\r\n" } ],
        [ 'an address in a header', { headers =>
          "X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n" } ],
        [ 'a new token', { only_headers =>
                           "${json}Authorization: Bearer $again\r\n" } ],
        [ 'another id', { body => $good =~ s/"id":1/"id":"x"/r } ],
        [ 'no id', { body => $good =~ s/"id":1,//r } ],
        [ 'another URI', { uri => '/lim/x?y=1' } ];
$b->add($n, "worker $_", $limited, uri => '/lim') for 1 .. 8;
$b->add($n, 'a flood of strangers', $limited, uri => '/lim', before => sub {
            my ($self) = @_;

            $self->send({ uri => '/lim', only_headers => $json
                          . "Authorization: Bearer a.b.$_\r\n" }, 1)
                for 1 .. 100;
        });
$b->add($n, 'a reload', $limited, uri => '/lim', v => [ 1 ],
        before => sub { $t->reload() });


# B59: tokens in URLs

$n = 59;
$b->add($n, "$_=", [ 400, 'TOKEN_AMBIGUOUS', 0 ], uri => "/mcp?$_=x")
    for qw/access_token api_key intent_token token TOKEN Access_Token/,
        'a=b&token', 'a&&token', '%74oken', 'api%5Fkey';
$b->add($n, "$_=, nobody", [ 400, 'TOKEN_AMBIGUOUS', 0 ], who => 'nobody',
        uri => "/mcp?$_=" . ($_ eq 'api_key' ? $key : $jws))
    for qw/access_token api_key intent_token token %74oken/;
$b->add($n, "$_=, nobody: is no identity", $nobody, who => 'nobody',
        uri => "/mcp?$_=$jws")
    for qw/authorization Authorization x-armoriq-intent jwt/;
$b->add($n, 'a cookie, nobody: is no identity', $nobody, who => 'nobody',
        headers => "Cookie: token=$jws; access_token=$jws\r\n");


# B60: sessions of others; there are neither holds nor connectors yet

$n = 60;

for my $name (sort keys %who) {
    my $jws = $who{$name}[1]->();

    $b->add($n, "POST by $name", $session, before => \&opened,
            %{ borrowed($jws) });
    $b->add($n, "GET by $name", $session, before => \&opened,
            method => 'GET', %{ borrowed($jws) });
}

$b->add($n, 'on another MCP server', $session, before => \&opened,
        uri => '/ten', %{ borrowed($jws) });
$b->add($n, 'a session that nobody opened', $session,
        headers => "Mcp-Session-Id: session-0\r\n");
$b->add($n, 'a session in capitals', $session, before => \&opened,
        %{ borrowed($jws, 'SESSION-') });
$b->add($n, 'an empty session', $session, headers => "Mcp-Session-Id:\r\n");
$b->add($n, 'a token of one, a key of another org',
        [ 401, 'TOKEN_OWNER', 0 ], only_headers => $json
        . "X-API-Key: $key\r\nX-ArmorIQ-Intent: " . token(org => 'other')
        . "\r\n");
$b->add($n, 'whose it is', $once, before => \&opened, control => 1,
        %{ borrowed($jws) });
$b->add($n, 'ended by whose it was', $session, before => sub {
            my ($self) = @_;

            opened($self);
            $self->send({ method => 'DELETE', uri => '/mcp', only_headers =>
                          "Authorization: Bearer $jws\r\n"
                          . "Mcp-Session-Id: session-$number\r\n" }, 1);
            sleep 0.02;
            $self->count();
        }, %{ borrowed($jws) });


# B63: what is open; there are neither a status page nor metrics yet

$n = 63;
$b->add($n, "/health, $_", [ 200, '', 0 ], uri => '/api/health',
        method => 'GET', who => $_, skip_off => 1, check => sub {
            my ($r, $name, $self) = @_;

            unlike($r->{raw}, qr/ak_|\Q$key\E|$self->{t}{dir}|example|other/,
                   "$name: no secret, no name");
        }) for qw/nobody good/;
$b->add($n, "POST /iap/sdk/token, $_->[0]", [ 401, $_->[1], 0 ],
        uri => '/api/iap/sdk/token', skip_off => 1,
        only_headers => $json . $_->[2],
        body => json_text({ user_id => 'a', agent_id => 'b', plan => {} }))
    for [ 'nobody', 'IDENTITY_MISSING', '' ],
        [ 'a wrong key', 'KEY_INVALID', "X-API-Key: ak_live_0\r\n" ];
$b->add($n, $_, [ 404, undef, 0 ], uri => "/api$_", method => 'GET',
        who => 'nobody', skip_off => 1)
    for qw{/status /metrics /admin /purge /debug /store /audit /.env};
$b->add($n, "$_ into the guard", [ 403, 'ENFORCEMENT_BYPASS', 0 ],
        uri => $_, method => 'GET', who => 'nobody')
    for qw{/status /metrics /admin /api};


$b->drive();
$b->finish($conf, 11, workers => 2);
$t->done_testing();


sub token {
    my (%o) = @_;

    return json_value($t->ctl_ok('token', 'issue', @store,
        '--org', $o{org} || 'example', '--user', $o{user} || 'alice',
        '--agent', $o{agent} || 'one', '--json', '--expires', 3600,
        '--plan', $t->write('plan.json', json_text({
            goal => $o{goal} || 'mcp',
            steps => [ map { { action => 'call', mcp => "mcp-$_",
                               max_uses => 100000 } } @names ],
        }))))->{jws};
}

sub label_of {
    my ($s) = @_;

    $s =~ s/\r\n/ /g;

    return $s;
}

sub length_of { 'Content-Length: ' . length($_[0]) . "\r\n\r\n$_[0]" }

# a planned call with these bytes as arguments

sub args { $good =~ s/"arguments":\{\}/"arguments":$_[0]/r }

sub modern {
    return rpc_text('tools/call', { name => $_[0], arguments => {},
        _meta => {
            'io.modelcontextprotocol/protocolVersion' => '2026-07-28',
            'io.modelcontextprotocol/clientInfo' => { name => 'a',
                                                      version => '1' },
            'io.modelcontextprotocol/clientCapabilities' => {},
        } });
}

sub headers_of {
    return "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n"
        . "Mcp-Name: $_[0]\r\n";
}

# a session of alice and her agent

sub opened {
    my ($self) = @_;

    $number++;
    $self->send({ uri => '/mcp', body => json_text({ jsonrpc => '2.0',
        id => $number, method => 'initialize',
        params => { protocolVersion => '2025-06-18', capabilities => {},
                    clientInfo => { name => 'a', version => '1' } } }) }, 1);
    sleep 0.02;
    $self->count();
}

# in the last session that was opened, with this token

sub borrowed {
    my ($jws, $prefix) = @_;
    my $name = $prefix || 'session-';

    return { h2 => sub { in_session($_[0], $_[1], $jws, $name, 2) },
             raw => sub { in_session($_[0], $_[1], $jws, $name, 1) },
             v => [ 1, 2 ] };
}

sub in_session {
    my ($self, $v, $jws, $name, $version) = @_;

    my %v = (%$v, only_headers => $json . "Authorization: Bearer $jws\r\n"
             . "Mcp-Session-Id: $name$number\r\n");

    delete @v{qw/h2 raw/};

    return $self->send(\%v, $version);
}

sub authority {
    my ($host, $v) = @_;
    my $body = $b->body($v);
    my @headers = map { /^([^:]+): (.*?)\r?$/ ? [ lc $1, $2 ] : () }
                  split /\n/, $b->headers($v);

    return h2_open($t->port(1), [ [ ':method', 'POST' ],
        [ ':scheme', 'http' ], [ ':path', '/mcp' ], [ ':authority', $host ],
        @headers ], [ [ 0, 1, $body ] ]);
}

# each initialize gives out a session

sub answer {
    my ($req) = @_;
    my $rpc = ref $req->{json} eq 'HASH' ? $req->{json} : {};

    return undef if ($rpc->{method} || '') ne 'initialize';

    return [ 200, "Content-Type: application/json\r\n"
                  . "Mcp-Session-Id: session-$rpc->{id}\r\n",
             json_text({ jsonrpc => '2.0', id => $rpc->{id}, result => {
                 protocolVersion => '2025-06-18', capabilities => {},
                 serverInfo => { name => 'a', version => '1' } } }) ];
}
