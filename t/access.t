#!/usr/bin/perl

# Guards the native MCP location: who may call what, and how it is said.  A
# row that turns green here by answering 200, or by reaching the upstream at
# all, is a bypass: a second credential, a token in a URL, a method or a
# header that two servers read differently, an answer that a client cannot
# match to its call, a credential that leaks to the upstream.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Rows;


my $t = ArmorIQ->new();

my $key = $t->init_store(mcps => [ 'infra-mcp', 'small-mcp' ]);

$t->upstream();

my $log = join '|', map { "\$$_" } qw/http_x_row status armoriq_verdict
    armoriq_reason armoriq_org armoriq_user armoriq_agent armoriq_mcp
    armoriq_tool armoriq_plan_hash armoriq_step armoriq_token_id
    armoriq_policy armoriq_record/;

$t->run(<<"EOF");
%%ARMORIQ%%
log_format armoriq '$log';

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
    keepalive 4;
}

server {
    listen 127.0.0.1:%%PORT0%%;
    access_log %%DIR%%/armoriq.log armoriq;

    location / { armoriq_api on; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
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
my $bkey = "Authorization: Bearer $key\r\n";

my $list = rpc('infra.list', {});
my $n = length $list;

rows($t);


# where token and key may be

permitted('token in Authorization', send_body($list, $json . $token));
permitted('token in X-ArmorIQ-Intent, key in X-API-Key',
          send_body($list, $json . $xkey . $intent));
permitted('token in X-ArmorIQ-Intent, key in Authorization',
          send_body($list, $json . $bkey . $intent));
permitted('token in Authorization, key in X-API-Key',
          send_body($list, $json . $xkey . $token));
permitted('the same key twice', send_body($list, $json . $xkey . $bkey
                                                . $intent));

my $meta = rpc('infra.list', {}, _meta =>
               { 'io.armoriq/intent-token' => $jws });

permitted('token in params._meta, key in X-API-Key',
          send_body($meta, $json . $xkey));
is($t->last_hit()->{body}, rpc('infra.list', {}, _meta => {}),
   'the token is taken out of what is passed on');

for ([ 'first', '{"io.armoriq/intent-token" : "%s" , "a":1}', '{"a":1}' ],
     [ 'last', '{"a":[1,2] , "io.armoriq/intent-token":"%s"}',
       '{"a":[1,2]}' ],
     [ 'between', '{"a":1,"io.armoriq\\/intent-token":"%s", "b":{}}',
       '{"a":1,"b":{}}' ])
{
    my ($where, $with, $without) = @$_;
    my $call = rpc('infra.list', {}, _meta => 'META');

    permitted("token in params._meta, $where",
              send_body($call =~ s/"META"/sprintf $with, $jws/er,
                        $json . $xkey));
    is($t->last_hit()->{body}, $call =~ s/"META"/$without/r,
       'and all else is as it was');
    is($t->last_hit()->{headers}{'content-length'},
       length($call =~ s/"META"/$without/r), 'with its length');
}
permitted('token in params._meta, key in Authorization',
          send_body($meta, $json . $bkey));

permitted('a call with bound parameters',
          send_body(rpc('infra.restart', { n => 7,
                                           service_id => 'payments' }),
                    $json . $token));
is_deeply($t->last_hit()->{json}{params}{arguments},
          { n => 7, service_id => 'payments' }, 'and they arrive');

refused('the same step again',
        send_body(rpc('infra.restart', { n => 7,
                                         service_id => 'payments' }),
                  $json . $token), 409, 'STEP_USED');
refused('other parameters',
        send_body(rpc('infra.restart', { n => 8,
                                         service_id => 'payments' }),
                  $json . $token), 409, 'STEP_PARAMS');
refused('one parameter more',
        send_body(rpc('infra.list', { all => \1 }), $json . $token),
        409, 'STEP_PARAMS');
refused('another tool', send_body(rpc('infra.stop', {}), $json . $token),
        409, 'STEP_NOT_PLANNED');
refused('a step of another server',
        send_body(rpc('alerts.list', {}), $json . $token),
        409, 'STEP_SERVER');

for ([ 'Authorization and X-ArmorIQ-Intent', $list, $token . $intent ],
     [ 'Authorization and params._meta', $meta, $token ],
     [ 'X-ArmorIQ-Intent and params._meta', $meta, $xkey . $intent ],
     [ 'all three', $meta, $token . $intent ])
{
    my ($name, $body, $headers) = @$_;

    refused("a token in two places: $name",
            send_body($body, $json . $headers), 400, 'TOKEN_AMBIGUOUS');
}

for my $arg ("token=$jws", "access_token=$jws", "api_key=$key",
             "intent_token=$jws", "a=b&TOKEN=x", "token=", "token",
             "a&%74oke%6E=$jws", "api%5Fkey=$key", "&&token=x")
{
    refused('a credential in the query: ' . substr($arg, 0, 16),
            send_body($list, $json . $token, path => "/mcp?$arg"),
            400, 'TOKEN_AMBIGUOUS');
    refused('and nothing else: ' . substr($arg, 0, 16),
            send_body($list, $json, path => "/mcp?$arg"),
            400, 'TOKEN_AMBIGUOUS');
}

permitted('other names in the query',
          send_body($list, $json . $token,
                    path => '/mcp?a=token&tokens=1&xtoken=1&' . 't' x 100));

refused('two different keys',
        send_body($list, $json . $bkey . $intent
                         . "X-API-Key: ak_live_" . '0' x 64 . "\r\n"),
        400, 'IDENTITY_AMBIGUOUS');


# identity

refused('nobody', send_body($list, $json), 401, 'IDENTITY_MISSING');
refused('a wrong key',
        send_body($list, $json . $intent
                         . 'X-API-Key: ak_live_' . '0' x 64 . "\r\n"),
        401, 'KEY_INVALID');
refused('the key with another last digit',
        send_body($list, $json . $intent . 'X-API-Key: '
                         . substr($key, 0, -1)
                         . (substr($key, -1) eq '0' ? '1' : '0') . "\r\n"),
        401, 'KEY_INVALID');
refused('a key and no token', send_body($list, $json . $xkey),
        401, 'TOKEN_MISSING');
refused('a key in Authorization and no token',
        send_body($list, $json . $bkey), 401, 'TOKEN_MISSING');
refused('Basic', send_body($list, $json . "Authorization: Basic YTpi\r\n"),
        401, 'TOKEN_MALFORMED');
refused('an empty Bearer', send_body($list, $json
                                            . "Authorization: Bearer\r\n"),
        401, 'TOKEN_MALFORMED');
refused('no token at all',
        send_body($list, $json . "Authorization: Bearer x.y.z\r\n"),
        401, 'TOKEN_MALFORMED');
refused('what is not JSON tells nothing to strangers',
        send_body('{', $json), 401, 'IDENTITY_MISSING');

for my $method ('initialize', 'tools/list', 'ping', 'resources/list',
                'prompts/list')
{
    my $body = json_text({ jsonrpc => '2.0', id => 1, method => $method });

    permitted("$method with a key", send_body($body, $json . $xkey));
    permitted("$method with a token", send_body($body, $json . $token));
    refused("$method with neither", send_body($body, $json),
            401, 'IDENTITY_MISSING');
    refused("$method with a wrong key",
            send_body($body, $json . "X-API-Key: ak_live_0\r\n"),
            401, 'KEY_INVALID');
}

permitted('a notification', send_body(
    json_text({ jsonrpc => '2.0', method => 'notifications/initialized' }),
    $json . $xkey), 202);

my $silent = json_text({ jsonrpc => '2.0', method => 'tools/call',
                    params => { name => 'infra.list', arguments => {} } });

permitted('a planned call as a notification',
          send_body($silent, $json . $token), 202);
refused('a call as a notification with a key only',
        send_body($silent, $json . $xkey), 401, 'TOKEN_MISSING');
refused('an unplanned call as a notification',
        send_body($silent =~ s/infra\.list/infra.kill/r, $json . $token),
        409, 'STEP_NOT_PLANNED');

permitted('GET with a key', send_body(undef, $xkey, method => 'GET'), 405);
permitted('DELETE with a key', send_body(undef, $xkey, method => 'DELETE'));
refused('GET with neither', send_body(undef, '', method => 'GET'),
        401, 'IDENTITY_MISSING');
refused('DELETE with neither', send_body(undef, '', method => 'DELETE'),
        401, 'IDENTITY_MISSING');


# methods and headers

for my $method (qw/FOO PUT PATCH OPTIONS MKCOL PROPFIND/) {
    my $r = send_body($list, $json . $token, method => $method);

    refused("$method with a body", $r, 405, 'METHOD_NOT_ALLOWED');
    is($r->{headers}{allow}, 'POST, GET, DELETE', 'Allow');
    refused("$method without a body",
            send_body(undef, $token, method => $method),
            405, 'METHOD_NOT_ALLOWED');
}

unreached('HEAD', send_body(undef, $token, method => 'HEAD'), 405);
unreached('TRACE', send_body(undef, $token, method => 'TRACE'), 405);
unreached('a method in lower case',
          send_body($list, $json . $token, method => 'post'), 400);

refused('GET with a body', send_body($list, $json . $token, method => 'GET'),
        400, 'BODY_UNEXPECTED');
refused('DELETE with a body',
        send_body($list, $json . $token, method => 'DELETE'),
        400, 'BODY_UNEXPECTED');
refused('GET with a chunked body', send_raw("GET /mcp HTTP/1.1\r\n" . $json
            . $token . chunked($list)), 400, 'BODY_UNEXPECTED');

for ('', "Content-Type:\r\n",
     map { "Content-Type: $_\r\n" }
         'text/plain', 'multipart/form-data; boundary=x',
         'application/x-www-form-urlencoded', 'application/jsonp',
         'application/json; charset=utf-16',
         'application/json; charset=utf-8; charset=utf-16',
         'application/json; charset=utf-8;', 'application/json;',
         'application/json, text/plain', 'application/vnd.api+json',
         'application/jso', 'text/plain; application/json',
         "application/json; x=\"" . 'y' x 200 . '"')
{
    refused(label("media type $_"), send_body($list, $_ . $token),
            415, 'CONTENT_TYPE');
}

for ('application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"',
     "application/json \t;\tcharset=utf-8")
{
    permitted("media type $_",
              send_body($list, "Content-Type: $_\r\n$token"));
}

for (qw/gzip identity br/, 'deflate, gzip', '') {
    refused("Content-Encoding: $_",
            send_body($list, $json . $token . "Content-Encoding: $_\r\n"),
            415, 'CONTENT_ENCODING');
}

for ("Upgrade: websocket\r\n", "Upgrade: h2c\r\nHTTP2-Settings: AAAA\r\n",
     "Upgrade:\r\n")
{
    refused(label($_), send_body($list, $json . $token . $_),
            400, 'UPGRADE_NOT_ALLOWED');
}

for ([ 'X-API-Key', $key ], [ 'X-ArmorIQ-Intent', $jws ],
     [ 'x-armoriq-intent', 'x' ], [ 'Mcp-Method', 'tools/call' ],
     [ 'Mcp-Name', 'infra.list' ], [ 'MCP-Protocol-Version', '2025-06-18' ],
     [ 'X-CSRG-Path', '/steps/[1]/action' ], [ 'X-CSRG-Proof', '[]' ],
     [ 'X-CSRG-Value-Digest', '0' ], [ 'Content-Encoding', 'gzip' ],
     [ 'Upgrade', 'h2c' ])
{
    my ($name, $value) = @$_;

    refused("$name twice", send_body($list, $json . $token
                . "$name: $value\r\n" . lc($name) . ": $value\r\n"),
            400, 'HEADER_DUPLICATE');
}

refused('Content-Type twice', send_body($list, $json . $json . $token),
        400, 'HEADER_DUPLICATE');
refused('Content-Type twice, the second one another',
        send_body($list, $json . "Content-Type: text/plain\r\n" . $token),
        400, 'HEADER_DUPLICATE');

# these nginx refuses before anybody is asked

unreached('Authorization twice',
          send_body($list, $json . $token . $token), 400);
unreached('Host twice', send_body($list, $json . $token . "Host: x\r\n"),
          400);
unreached('no Host', http_parse(http_raw($t->port(0),
          "POST /mcp HTTP/1.1\r\nConnection: close\r\n$json$token"
          . 'Content-Length: ' . length($list) . "\r\n\r\n$list")), 400);
unreached('a NUL in a header',
          send_body($list, $json . $token . "X-A: a\0b\r\n"), 400);

# headers with underscores are dropped: they are neither token nor key

refused('x_api_key', send_body($list, "${json}X_API_Key: $key\r\n"),
        401, 'IDENTITY_MISSING');
refused('x_armoriq_intent',
        send_body($list, "$json${xkey}X_ArmorIQ_Intent: $jws\r\n"),
        401, 'TOKEN_MISSING');

for my $mirror ([ 'Mcp-Method', 'tools/list' ], [ 'Mcp-Method', '' ],
                [ 'Mcp-Name', 'infra.kill' ], [ 'Mcp-Name', '' ])
{
    refused("$mirror->[0]: $mirror->[1]",
            send_body($list, $json . $token
                             . "$mirror->[0]: $mirror->[1]\r\n"),
            400, 'HEADER_MISMATCH', -32020);
}

permitted('headers that mirror the body',
          send_body($list, $json . $token . "Mcp-Method: tools/call\r\n"
                    . "Mcp-Name: infra.list\r\n"
                    . "MCP-Protocol-Version: 2025-11-25\r\n"));
refused('an unknown revision',
        send_body($list, $json . $token
                         . "MCP-Protocol-Version: 2031-01-01\r\n"),
        400, 'PROTOCOL_VERSION', -32022);


# the answer

for my $id ('9007199254740991', '-9007199254740991', '0', '""',
            '"a\"\\\\\u00e9\n\u2028 \ud83d\ude00"', '"' . 'x' x 3000 . '"')
{
    my $r = send_body(rpc('infra.kill', {}) =~ s/"id":1/"id":$id/r,
                      $json . $token);

    refused('id ' . substr($id, 0, 40), $r, 409, 'STEP_NOT_PLANNED');
    is(index($r->{body}, "{\"jsonrpc\":\"2.0\",\"id\":$id,\"error\":"), 0,
       'is echoed as it was written');
}

for ([ 'a batch', "[$list]" ], [ 'no JSON', '{' ],
     [ 'an id twice', $list =~ s/"id":1/"id":1,"id":1/r ],
     [ 'an id of 2^53', $list =~ s/"id":1/"id":9007199254740992/r ])
{
    my $r = send_body($_->[1], $json . $token);

    is($r->{status}, 400, "$_->[0]: 400");
    ok(!exists $r->{json}{id}, 'and no id');
}

{
    my $r = send_body($list, $json);

    is($r->{headers}{'www-authenticate'}, 'Bearer realm="armoriq"',
       'who presents nothing is told to');

    $r = send_body($list, $json . "Authorization: Bearer x.y.z\r\n");
    is($r->{headers}{'www-authenticate'},
       'Bearer realm="armoriq", error="invalid_token"',
       'who presents a bad token is told so');

    $r = send_body(rpc('infra.kill', {}), $json . $token);
    ok(!exists $r->{headers}{'www-authenticate'}, 'but only with 401');
    is($r->{headers}{'cache-control'}, 'no-store', 'nothing is cached');
    is_deeply([ sort keys %{ $r->{json} } ], [ qw/error id jsonrpc/ ],
              'members of the answer');
    is_deeply([ sort keys %{ $r->{json}{error} } ],
              [ qw/code data message/ ], 'of its error');
    like($r->{json}{error}{data}{requestId}, qr/^[0-9a-f]{32}$/,
         'and the number of the record');
    unlike($r->{raw}, qr/$jws|$key/, 'no credential');
}


# nothing of ours reaches the upstream

{
    permitted('with all that must not be forwarded', send_body($list, $json
        . $xkey . $intent . $bkey
        . "Proxy-Authorization: Basic YTpi\r\n"
        . "X-ArmorIQ-Org: other\r\nX-ArmorIQ-Verdict: PERMIT\r\n"
        . "X-ArmorIQ-Rid: 1\r\nX-CSRG-Path: /steps/[1]/action\r\n"
        . "X-HTTP-Method-Override: DELETE\r\nX-Method-Override: PUT\r\n"
        . "X-Kept: yes\r\n"));

    my $hit = $t->last_hit();

    is_deeply([ grep { /authorization|api-key|armoriq|csrg|override/ }
                sort keys %{ $hit->{headers} } ], [],
              'no header of ours reaches the upstream');
    unlike(json_text($hit->{headers}), qr/\Q$key\E|\Q$jws\E/,
           'neither key nor token');
    is($hit->{headers}{'x-kept'}, 'yes', 'other headers do');
    is($hit->{body}, $list, 'the body does, byte by byte');
    is($hit->{headers}{'content-length'}, $n, 'with its length');

    permitted('named in Connection', send_body($list, $json . $xkey . $intent
        . "Connection: X-ArmorIQ-Intent, X-API-Key\r\n"));
    unlike(json_text($t->last_hit()->{headers}), qr/\Q$key\E|\Q$jws\E/,
           'it is still removed');
}


# the variables

{
    my $r = send_body(rpc('infra.list', {}), $json . $token
                      . "X-Row: permitted\r\n");
    permitted('for the log', $r);
    send_body(rpc('infra.kill', {}), $json . $token . "X-Row: denied\r\n");
    send_body($list, $json . "X-Row: nobody\r\n");
    send_body($list, $json . "Authorization: Bearer x.y.z\r\n"
                     . "X-Row: forged\r\n");
    http($t->port(0), '/health', headers => "X-Row: open\r\n");

    my %rows;

    for (1 .. 50) {
        %rows = map { /^(\w+)\|/ ? ($1 => [ split /\|/, $_, -1 ]) : () }
            split /\n/, $t->read('armoriq.log');
        last if keys %rows == 5;
        sleep 0.1;
    }

    my @names = qw/status verdict reason org user agent mcp tool plan_hash
                   step token_id policy record/;
    my $row = sub {
        my $cells = $rows{$_[0]} || [];
        my %h; @h{@names} = @$cells[1 .. $#$cells];
        return \%h;
    };

    my $ok = $row->('permitted');
    my $record = delete $ok->{record};

    like($record, qr/^\d+$/, '$armoriq_record');

    my ($rec) = grep { $_->{seq} == ($record || 0) } $t->audit_records();

    is_deeply([ @$rec{qw/t verdict tool org user agent mcp step/} ],
              [ qw/INTENT PERMIT infra.list example alice sysadmin infra-mcp
                   1/ ], 'names the record of this call');

    is_deeply($ok, {
        status => 200, verdict => 'PERMIT', reason => 'OK', org => 'example',
        user => 'alice', agent => 'sysadmin', mcp => 'infra-mcp',
        tool => 'infra.list', plan_hash => $issued->{plan_hash}, step => 1,
        token_id => $issued->{intent_reference}, policy => 'test',
    }, 'all variables of a permitted call');

    my $no = $row->('denied');

    is_deeply([ @$no{qw/status verdict reason org user agent tool step/} ],
              [ 409, qw/DENY STEP_NOT_PLANNED example alice sysadmin
                        infra.kill -/ ], 'those of a refused one');

    for (qw/nobody forged/) {
        my $none = $row->($_);

        is_deeply([ @$none{qw/status verdict org user agent plan_hash step
                              token_id record/} ],
                  [ 401, 'DENY', ('-') x 7 ], "nobody's name: $_");
    }

    is_deeply([ @{ $row->('open') }{qw/verdict reason org/} ],
              [ ('-') x 3 ], 'none where nothing is judged');
}


my ($code, $out) = $t->audit_verify();

is($code, 0, 'armoriqctl audit verify') or diag($out);

$t->done_testing();
