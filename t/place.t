#!/usr/bin/perl

# Guards what belongs to a place: whose session an id is, which org a server
# is for, which methods need what, and what a caller learns of a tool that it
# may not call.  A row that turns green by reaching the upstream here lets one
# tenant, or one agent, act as another.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Rows;


my $t = ArmorIQ->new();

my @mcps = qw/infra-mcp open-mcp new-mcp tenant-mcp twin-mcp moved-mcp
              limited-mcp strict-mcp stopped-mcp/;

my $key = $t->init_store(mcps => \@mcps,
                         policy => { allow => [ '*' ],
                                     deny => [ '*/secret' ] });

# a second org, with servers of the same names

my $other = do {
    my $out = $t->ctl_ok('org', 'add', '--store', $t->store(), '--json',
                         'other');

    $t->ctl_ok('mcp', 'add', '--store', $t->store(), '--org', 'other', $_)
        for @mcps;

    my $policy = $t->write('other.json', json_text({ name => 'all',
        status => 'active', target => { type => 'org', id => 'other' },
        allow => [ '*' ] }));

    $t->ctl_ok('policy', 'add', '--store', $t->store(), '--org', 'other',
               $policy);

    json_value($t->ctl_ok('key', 'add', '--store', $t->store(), '--org',
                          'other', '--json'))->{secret};
};

sub user_key {
    my ($user) = @_;

    return json_value($t->ctl_ok('key', 'add', '--store', $t->store(),
        '--org', 'example', '--user', $user, '--json'))->{secret};
}

my ($alice, $bob) = map { user_key($_) } qw/alice bob/;

ok($other && $alice && $bob, 'keys') or BAIL_OUT('no keys');

my $n = 0;

$t->upstream(answer => \&answer);

$t->run(<<'EOF', workers => 2);
%%ARMORIQ%%

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    location / { armoriq_api on; }

    location = /invoke {
        armoriq on;
        armoriq_invoke on;
    }

    location = /limited {
        armoriq on;
        armoriq_mcp limited-mcp;
        armoriq_limit rate=1r/h key=org;
        proxy_pass http://infra;
    }

    location = /strict {
        armoriq on;
        armoriq_mcp strict-mcp;
        armoriq_params strict;
        proxy_pass http://infra;
    }

    location = /stopped {
        armoriq on;
        armoriq_mcp stopped-mcp;
        armoriq_method tools/call off;
        proxy_pass http://infra;
    }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra;
    }

    location = /twin {
        armoriq on;
        armoriq_mcp twin-mcp;
        proxy_pass http://infra;
    }

    location = /new {
        armoriq on;
        armoriq_mcp new-mcp protocol=2026-07-28;
        proxy_pass http://infra;
    }

    location = /tenant {
        armoriq on;
        armoriq_mcp tenant-mcp;
        armoriq_org example;
        proxy_pass http://infra;
    }

    location = /open {
        armoriq on;
        armoriq_mcp open-mcp;
        armoriq_method tools/call identity;
        armoriq_method resources/read prompts/* intent;
        armoriq_method * identity;
        armoriq_method logging/setLevel off;
        proxy_pass http://infra;
    }

    location = /moved {
        armoriq on;
        armoriq_mcp moved-mcp;
        armoriq_limit rate=1r/h burst=6 key=user;
        try_files /none $arg_to;
    }

    location @same {
        armoriq on;
        armoriq_mcp moved-mcp;
        armoriq_limit rate=1r/h burst=6 key=user;
        proxy_pass http://infra;
    }

    location @strict {
        armoriq on;
        armoriq_mcp moved-mcp;
        armoriq_params strict;
        proxy_pass http://infra;
    }

    location @org {
        armoriq on;
        armoriq_mcp moved-mcp;
        armoriq_org other;
        proxy_pass http://infra;
    }

    location @off {
        armoriq on;
        armoriq_mcp moved-mcp;
        armoriq_method tools/call off;
        proxy_pass http://infra;
    }

    location @twin {
        armoriq on;
        armoriq_mcp twin-mcp;
        proxy_pass http://infra;
    }

    location @nameless {
        armoriq on;
        proxy_pass http://infra;
    }

    location @open {
        proxy_pass http://infra;
    }

    location = /plain {
        armoriq on;
        armoriq_mcp plain-mcp;
        armoriq_list_filter off;
        proxy_pass http://infra;
    }
}
EOF

rows($t);

my $many = 100000;
my $json = "Content-Type: application/json\r\n";

my $plan = { goal => 'place', steps => [
    (map { { action => $_, mcp => 'infra-mcp', max_uses => $many } }
         qw/read secret nosuch/),
    { action => 'resources/read', mcp => 'open-mcp', max_uses => $many,
      params => { uri => 'file:///a' } },
    { action => 'prompts/get', mcp => 'open-mcp', max_uses => $many },
] };

# the API would not issue a token for what a policy denies; the CLI as well

my %jws = map {
    my $user = $_;

    $user => $t->issue_token(user => $user, seconds => 3600, plan => {
        %$plan, steps => [ grep { $_->{action} ne 'secret' }
                           @{ $plan->{steps} } ] })->{jws};
} qw/alice bob/;

ok($jws{alice} && $jws{bob}, 'tokens') or BAIL_OUT('no tokens');

sub key_of   { $json . "X-API-Key: $_[0]\r\n" }
sub token_of { $json . "Authorization: Bearer $jws{$_[0]}\r\n" }
sub session  { "Mcp-Session-Id: $_[0]\r\n" }


# sessions

my $init = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":'
         . '{"protocolVersion":"2025-11-25","capabilities":{},'
         . '"clientInfo":{"name":"t","version":"1"}}}';
my $tools = '{"jsonrpc":"2.0","id":2,"method":"tools/list"}';
my $note = '{"jsonrpc":"2.0","method":"notifications/initialized"}';
my $call = rpc('read', {});

for ([ 'key', \&key_of, $alice, $bob ],
     [ 'token', \&token_of, 'alice', 'bob' ])
{
    my ($what, $who, $mine, $yours) = @$_;
    my $r = send_body($init, $who->($mine));

    permitted("$what: opens a session", $r);

    my $id = $r->{headers}{'mcp-session-id'};

    like($id, qr/^s-\d+/, "$what: and gets its id");

    # a few times, since there are two workers

    permitted("$what: its session, $_",
              send_body($tools, $who->($mine) . session($id))) for 1 .. 4;
    is($t->last_hit()->{headers}{'mcp-session-id'}, $id,
       "$what: the id is passed on");

    permitted("$what: a notification in it",
              send_body($note, $who->($mine) . session($id)), 202);
    permitted("$what: the stream of it",
              send_body('', $who->($mine) . session($id), method => 'GET'));

    for my $e ([ 'B40 POST', 'POST', $tools ], [ 'B40 GET', 'GET', '' ],
               [ 'B40 DELETE', 'DELETE', '' ],
               [ 'B60 notification', 'POST', $note ])
    {
        refused("$what: $e->[0] in somebody else's session",
                send_body($e->[2], $who->($yours) . session($id),
                          method => $e->[1]), 404, 'SESSION_UNKNOWN');
        refused("$what: $e->[0] of another org",
                send_body($e->[2], key_of($other) . session($id),
                          method => $e->[1]), 404, 'SESSION_UNKNOWN');
        refused("$what: $e->[0] in a session that nobody has opened",
                send_body($e->[2], $who->($mine) . session("$id-x"),
                          method => $e->[1]), 404, 'SESSION_UNKNOWN');
        refused("$what: $e->[0] at another server",
                send_body($e->[2], $who->($mine) . session($id),
                          method => $e->[1], path => '/twin'),
                404, 'SESSION_UNKNOWN');
    }

    refused("$what: the id twice",
            send_body($tools, $who->($mine) . session($id) . session($id)),
            400, 'HEADER_DUPLICATE');
    refused("$what: nobody's in a session",
            send_body($tools, $json . session($id)),
            401, 'IDENTITY_MISSING');

    # the answers to a session of others and to none are one and the same

    is(same_bytes(send_body($tools, $who->($yours) . session($id))),
       same_bytes(send_body($tools, $who->($yours) . session("$id-x"))),
       "$what: nobody learns which ids are in use");

    permitted("$what: the end of it",
              send_body('', $who->($mine) . session($id),
                        method => 'DELETE'), 200);
    refused("$what: which it is",
            send_body($tools, $who->($mine) . session($id)),
            404, 'SESSION_UNKNOWN');
}

# a call in a session that was opened with a key

{
    my $id = send_body($init, key_of($alice))->{headers}{'mcp-session-id'};

    seen();
    permitted('a token and the key in a session of the key',
              send_body($call, token_of('alice') . "X-API-Key: $alice\r\n"
                               . session($id)));
    refused("B60 somebody else's token in it",
            send_body($call, token_of('bob') . session($id)),
            404, 'SESSION_UNKNOWN');

    # a key of the org that names nobody is another one, and so is a token
    # that names somebody else

    refused("B60 the org's key in a session of alice",
            send_body($tools, key_of($key) . session($id)),
            404, 'SESSION_UNKNOWN');

    my $any = send_body($init, key_of($key))->{headers}{'mcp-session-id'};

    seen();
    permitted("the org's key in its own", send_body($tools, key_of($key)
                                                    . session($any)));
    permitted('and a token with that key',
              send_body($call, token_of('bob') . "X-API-Key: $key\r\n"
                               . session($any)));
    refused('B60 but not the token of somebody alone',
            send_body($call, token_of('bob') . session($any)),
            404, 'SESSION_UNKNOWN');

    # an id that the server gives to two: whoever was first keeps it

    my $same = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":'
             . '{"fixed":1}}';

    permitted('a server with one id for all',
              send_body($same, key_of($alice)));
    permitted('gives it to another', send_body($same, key_of($bob)));
    permitted('the first may use it',
              send_body($tools, key_of($alice) . session('fixed')));
    refused('the second may not',
            send_body($tools, key_of($bob) . session('fixed')),
            404, 'SESSION_UNKNOWN');

    # an error opens nothing

    unreached_session('an error of the server',
                      '{"jsonrpc":"2.0","id":1,"method":"initialize",'
                      . '"params":{"status":400}}', 's-error');

    # a reload does not end sessions

    $t->reload();

    permitted('a session after a reload',
              send_body($tools, key_of($alice) . session($id)));
    refused('and whose it is',
            send_body($tools, key_of($bob) . session($id)),
            404, 'SESSION_UNKNOWN');
}

# from 2026-07-28 on there are none: the header is not looked at, nor passed

{
    my $modern = '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":'
        . '{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}'
        . '}}';

    permitted('a modern request with a session and Last-Event-ID',
              send_body($modern, key_of($alice) . session('s-x')
                        . "Last-Event-ID: 7\r\n"
                        . "MCP-Protocol-Version: 2026-07-28\r\n"
                        . "Mcp-Method: tools/list\r\n", path => '/new'));

    my $h = $t->last_hit()->{headers};

    ok(!exists $h->{'mcp-session-id'} && !exists $h->{'last-event-id'},
       'neither is passed on');
    is($h->{'mcp-method'}, 'tools/list', 'others are');

    for (qw/GET DELETE/) {
        my $r = send_body('', key_of($alice), method => $_,
                          path => '/new');

        refused("B39 $_ where only POST is", $r, 405, 'METHOD_NOT_ALLOWED');
        is($r->{headers}{allow}, 'POST', "$_: what is allowed");
    }

    is(send_body('', key_of($alice), method => 'PUT')->{headers}{allow},
       'POST, GET, DELETE', 'what is allowed elsewhere');
}


# orgs

permitted('B52 a key of the org', send_body($tools, key_of($key),
                                            path => '/tenant'));
refused('B52 a key of another org, which has such a server as well',
        send_body($tools, key_of($other), path => '/tenant'),
        403, 'ORG_NOT_ALLOWED');
permitted('B52 that org where any may come',
          send_body($tools, key_of($other), path => '/twin'));
refused('B52 another org, with no body yet',
        http_parse(drain(slow_post('/tenant', key_of($other)))),
        403, 'ORG_NOT_ALLOWED');


# by way of /invoke, the rules of the server's location hold as well

for ([ 'the org of the server', 'tenant-mcp', $key, 200 ],
     [ 'another org', 'tenant-mcp', $other, 403, 'ORG_NOT_ALLOWED' ],
     [ 'that org where any may come', 'twin-mcp', $other, 200 ],
     [ 'calls are off', 'stopped-mcp', $key, 403, 'RPC_METHOD' ],
     [ 'parameters are not bound', 'strict-mcp', $key, 409, 'STEP_UNBOUND' ],
     [ 'the first of an hour', 'limited-mcp', $key, 200 ],
     [ 'the second', 'limited-mcp', $key, 429, 'RATE_LIMITED' ])
{
    my ($what, $mcp, $k, $status, $why) = @$_;
    my $steps = { goal => 'place', steps => [
        { action => 'read', mcp => $mcp, max_uses => 2 } ] };

    my $token = $t->request_token(key => $k, plan => $steps, seconds => 60);

    ok($token->{token}, "invoke, $what: a token");
    seen();

    my $r = $t->invoke('read', {}, mcp => $mcp, key => $k, token => $token,
                       plan => $steps);

    is($r->{status}, $status, "B52 invoke, $what") or diag($r->{raw});

    if ($why) {
        is($r->{json}{error_code}, $why, "$what: $why");
        is(seen(), 0, "$what: does not reach the server");
    }
}


# methods

for ([ 'a call with a key alone', rpc('read', {}), $key ],
     [ 'resources/subscribe', method('resources/subscribe',
                                     { uri => 'file:///a' }), $key ],
     [ 'an unheard-of method', method('x/y'), $key ])
{
    my ($what, $body, $k) = @$_;

    permitted("open: $what", send_body($body, key_of($k), path => '/open'));
    like(send_body($body, key_of($k))->{status}, qr/^40[13]$/,
         "but not by default: $what");
    is(seen(), 0, 'which does not reach the server');
}

refused('open: nobody may', send_body($call, $json, path => '/open'),
        401, 'IDENTITY_MISSING');
refused('open: a policy denies',
        send_body(rpc('secret', {}), key_of($key), path => '/open'),
        403, 'TOOL_UNKNOWN', -32602);
refused('open: a method that is off',
        send_body(method('logging/setLevel', { level => 'info' }),
                  key_of($key), path => '/open'),
        403, 'RPC_METHOD', -32601);
refused('open: a read needs an intent',
        send_body(method('resources/read', { uri => 'file:///a' }),
                  key_of($key), path => '/open'), 401, 'TOKEN_MISSING');
permitted('open: a read that was planned',
          send_body(method('resources/read',
                           { uri => 'file:///a', _meta => { a => 1 } }),
                    token_of('alice'), path => '/open'));
refused('open: of something else',
        send_body(method('resources/read', { uri => 'file:///b' }),
                  token_of('alice'), path => '/open'), 409, 'STEP_PARAMS');
permitted('open: a method under a front, planned',
          send_body(method('prompts/get', { name => 'x' }),
                    token_of('alice'), path => '/open'));
refused('open: and one not planned',
        send_body(method('prompts/other', { name => 'x' }),
                  token_of('alice'), path => '/open'),
        409, 'STEP_NOT_PLANNED');
refused('open: a tool named like a method',
        send_body(rpc('resources/read', { uri => 'file:///a' }),
                  token_of('alice'), path => '/open'),
        400, 'RPC_AMBIGUOUS', -32600);


# an internal redirect into another protected location: judged again there,
# and nothing is counted twice

{
    my $jws = $t->issue_token(user => 'carol', seconds => 3600, plan => {
        goal => 'moved', steps => [
            { action => 'once', mcp => 'moved-mcp', params => {} },
            { action => 'loose', mcp => 'moved-mcp' },
        ] })->{jws};

    my $carol = $json . "Authorization: Bearer $jws\r\n";
    my %there = (map { $_ => "/moved?to=\@$_" }
                     qw/same strict org off twin nameless open/);

    seen();

    for ([ 'another org', 'org', 403, 'ORG_NOT_ALLOWED' ],
         [ 'calls are off', 'off', 403, 'RPC_METHOD', -32601 ],
         [ 'another MCP server', 'twin', 403, 'ENFORCEMENT_BYPASS' ],
         [ 'none', 'nameless', 403, 'ENFORCEMENT_BYPASS' ],
         [ 'not protected', 'open', 403, 'ENFORCEMENT_BYPASS' ])
    {
        my ($what, $where, @want) = @$_;

        refused("B11 moved: $what",
                send_body(rpc('once', {}), $carol, path => $there{$where}),
                @want);
    }

    refused('B11 moved: parameters are not bound there',
            send_body(rpc('loose', {}), $carol, path => $there{strict}),
            409, 'STEP_UNBOUND');

    # each of the refused has given its step back, and this is the last of
    # what the limit has

    permitted('B11 moved: by the same rules',
              send_body(rpc('once', {}), $carol, path => $there{same}));
    is($t->last_hit()->{headers}{authorization}, undef,
       'B11 moved: no credential is passed on');
    refused('B11 moved: its step was used',
            send_body(rpc('once', {}), $carol, path => $there{same}),
            409, 'STEP_USED');
    refused('B11 moved: the limit counts a request once',
            send_body(rpc('loose', {}), $carol, path => $there{same}),
            429, 'RATE_LIMITED');
}


# a tool that is hidden is a tool that is not there

{
    my ($hidden, $none) = map {
        send_body(rpc($_, {}), token_of('alice'))
    } qw/secret absent/;

    is($hidden->{status}, 409, 'a hidden tool that nobody has planned');
    is(same_bytes($hidden), same_bytes($none), 'is like any other');

    # what a policy hides among all, where the tools of the server are known

    my $names = $t->write('tools.json', json_text({ result => { tools => [
        map { { name => $_, inputSchema => {} } } qw/read secret/ ] } }));

    $t->ctl_ok('mcp', 'tools', '--store', $t->store(), '--org', 'example',
               'open-mcp', $names);

    permitted('a tool of the server',
              send_body(rpc('read', {}), key_of($key), path => '/open'));

    ($hidden, $none) = map {
        send_body(rpc($_, {}), key_of($key), path => '/open')
    } qw/secret absent/;

    is(seen(), 0, 'neither reaches it');
    is(same_bytes($hidden), same_bytes($none), 'hidden is unknown');

    is($hidden->{json}{error}{code}, -32602, 'a hidden tool');
    is($hidden->{json}{error}{message}, 'Unknown tool', 'is unknown');

    my ($record) = grep { $_->{tool} && $_->{tool} eq 'secret'
                          && $_->{mcp} eq 'open-mcp' }
                   $t->audit_records('INTENT');

    is($record->{reason}, 'POLICY_DENY', 'but the record says why');

    # methods that are planned by their name are no tools

    permitted('a read where tools are listed',
              send_body(method('resources/read', { uri => 'file:///a' }),
                        token_of('alice'), path => '/open'));

    $t->ctl_ok('mcp', 'tools', '--store', $t->store(), '--org', 'example',
               'open-mcp', '--any');
    permitted('any tool again',
              send_body(rpc('absent', {}), key_of($key), path => '/open'));
}


# headers that repeat arguments

seen();

for ([ 'that agrees', "Mcp-Param-Region: eu\r\n", 200 ],
     [ 'that is no argument', "Mcp-Param-Zone: us\r\n", 200 ],
     [ 'encoded', "Mcp-Param-Region: =?base64?ZXU=?=\r\n", 200 ],
     [ 'that lies', "Mcp-Param-Region: us\r\n", 400, 'HEADER_MISMATCH' ],
     [ 'twice', "mcp-param-region: eu\r\nMcp-Param-REGION: eu\r\n", 400,
       'HEADER_DUPLICATE' ],
     [ '33 times', join('', map { "Mcp-Param-X$_: 1\r\n" } 1 .. 33), 400,
       'HEADER_MISMATCH' ])
{
    my ($what, $headers, $status, $why) = @$_;
    my $r = send_body(rpc('read', { region => 'eu' }),
                      token_of('alice') . $headers);

    if ($status == 200) {
        permitted("B37 a header $what", $r);

    } else {
        refused("B37 a header $what", $r, $status, $why,
                $why eq 'HEADER_MISMATCH' ? -32020 : 400);
    }
}

is($t->last_hit()->{headers}{'mcp-param-region'}, '=?base64?ZXU=?=',
   'and is passed on as it came');


# an unknown revision names those that are known

{
    my $r = send_body($tools, key_of($key)
                              . "MCP-Protocol-Version: 2027-01-01\r\n");

    refused('an unknown revision', $r, 400, 'PROTOCOL_VERSION', -32022);
    is($r->{json}{error}{data}{requested}, '2027-01-01', 'it is named');
    is_deeply($r->{json}{error}{data}{supported},
              [ qw/2026-07-28 2025-11-25 2025-06-18 2025-03-26/ ],
              'and so are those that are enforced');
}


# what 2026-07-28 wants to be said of versions, and how

{
    my $modern = "MCP-Protocol-Version: 2026-07-28\r\n"
               . "Mcp-Method: tools/list\r\n";
    my $meta = 'io.modelcontextprotocol/protocolVersion';

    for ([ 'mcp-C19 no version in _meta', method('tools/list'), $modern,
           'RPC_PARAMS', -32602 ],
         [ 'mcp-C19 another version in _meta',
           method('tools/list', { _meta => { $meta => '2025-11-25' } }),
           $modern, 'HEADER_MISMATCH', -32020 ],
         [ 'mcp-C19 no header',
           method('tools/list', { _meta => { $meta => '2026-07-28' } }), '',
           'HEADER_MISMATCH', -32020 ],
         [ 'mcp-C20 an unknown version in both',
           method('tools/list', { _meta => { $meta => '2999-01-01' } }),
           "MCP-Protocol-Version: 2999-01-01\r\n", 'PROTOCOL_VERSION',
           -32022 ],
         [ 'mcp-A6 a response of the client',
           '{"jsonrpc":"2.0","id":1,"result":{}}',
           "MCP-Protocol-Version: 2026-07-28\r\n", 'RPC_INVALID', -32600 ])
    {
        my ($what, $body, $headers, $why, $rpc) = @$_;
        my $r = send_body($body, key_of($key) . $headers);

        refused($what, $r, 400, $why, $rpc);
        is($r->{json}{id}, 1, "$what: the id is echoed");
        is_deeply($r->{json}{error}{data}{supported}, [ '2026-07-28' ],
                  "$what: and what could be spoken") if $rpc == -32022;
    }

    permitted('mcp-A6 a response before 2026-07-28',
              send_body('{"jsonrpc":"2.0","id":1,"result":{}}',
                        key_of($key)));
}


# early data, as a proxy before us marks it; the rest is in the matrix

refused('B54 early data',
        send_body($tools, key_of($key) . "Early-Data: 1\r\n"),
        425, 'EARLY_DATA');

my ($code, $out) = $t->audit_verify();

is($code, 0, 'the log is whole') or diag($out);

$t->done_testing();


sub method {
    my ($name, $params) = @_;

    return json_text({ jsonrpc => '2.0', id => 1, method => $name,
                       $params ? (params => $params) : () });
}

# all that a client could compare

sub same_bytes {
    my ($r) = @_;

    seen();

    return $r->{raw} =~ s/"requestId":"\w+"/"requestId":""/r
                     =~ s/Date: [^\r]+//r;
}

# headers of a POST whose body does not come

sub slow_post {
    my ($path, $headers) = @_;
    my $s = connected();

    syswrite $s, "POST $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        . "${headers}Content-Length: 100000\r\n\r\n";

    return $s;
}

sub unreached_session {
    my ($what, $body, $id) = @_;

    is(send_body($body, key_of($alice))->{status}, 400, $what);
    seen();
    refused("$what opens nothing",
            send_body($tools, key_of($alice) . session($id)),
            404, 'SESSION_UNKNOWN');
}

# in a fork for each connection

sub answer {
    my ($req) = @_;
    my $id = $req->{json}{params}{fixed} ? 'fixed' : "s-$$-" . ++$n;

    return [ 400, "Mcp-Session-Id: s-error\r\n", '{}' ]
        if $req->{json}{params}{status};
    return [ 202, '', '' ]
        if ($req->{json}{method} || '') =~ /^notifications/;
    return [ 200, "Content-Type: application/json\r\n"
                  . "Mcp-Session-Id: $id\r\n",
             json_text({ jsonrpc => '2.0', id => $req->{json}{id},
                         result => { protocolVersion => '2025-11-25',
                                     capabilities => {},
                                     serverInfo => { name => 'place',
                                                     version => '1' } } }) ]
        if ($req->{json}{method} || '') eq 'initialize';
    return [ 200, "Content-Type: application/json\r\n",
             json_text({ jsonrpc => '2.0', id => $req->{json}{id},
                         result => { content => [] } }) ]
        if ($req->{json}{method} || '') eq 'tools/call';
    return [ 200, "Content-Type: application/json\r\n",
             '{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}' ];
}
