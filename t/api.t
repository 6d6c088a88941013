#!/usr/bin/perl

# Guards the API that the published SDKs speak: GET /health, where a wrong
# status ends a Node process, and POST /iap/sdk/token, where a member that is
# missing or of another type breaks one SDK or the other, where a refusal
# must be a sentence, and where a token must not be had for a plan that
# policy denies, in somebody else's name, or for longer than is allowed.

use strict;
use warnings;
use utf8;

use Digest::SHA qw/sha256 sha256_hex/;
use FindBin;
use MIME::Base64 qw/decode_base64/;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Rows;


my $t = ArmorIQ->new();
my $key = $t->init_store(policy => {
    name => 'org', priority => 10, allow => [ '*' ],
    deny => [ 'infra-mcp/infra.wipe' ],
});

$t->upstream();

$t->run(<<'EOF');
%%ARMORIQ%%
client_max_body_size 8m;

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq_api on; }
    location /armoriq/ { armoriq_api on; }
    location = /invoke {
        armoriq on;
        armoriq_invoke on;
        armoriq_max_body 8m;
    }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }
}
EOF

rows($t);

my $json = "Content-Type: application/json\r\n";
my $bad = 'ak_live_' . '0' x 64;


# GET /health

for (
    [ 'without a key', '', 200 ],
    [ 'with the key', "X-API-Key: $key\r\n", 200 ],
    [ 'with the key in Authorization', "Authorization: Bearer $key\r\n", 200 ],
    [ 'with the key in both', "X-API-Key: $key\r\n"
                              . "Authorization: Bearer $key\r\n", 200 ],
    [ 'with another key', "X-API-Key: $bad\r\n", 401, 'KEY_INVALID' ],
    [ 'with another key in Authorization', "Authorization: Bearer $bad\r\n",
      401, 'KEY_INVALID' ],
    [ 'with an empty key', "X-API-Key:\r\n", 401, 'KEY_INVALID' ],
    [ 'with two keys', "X-API-Key: $key\r\nX-API-Key: $key\r\n",
      400, 'HEADER_DUPLICATE' ],
    [ 'with two different keys', "X-API-Key: $key\r\n"
      . "Authorization: Bearer $bad\r\n", 400, 'IDENTITY_AMBIGUOUS' ],
) {
    my ($name, $headers, $status, $reason) = @$_;

    for my $path ('/health', '/armoriq/health') {
        my $r = send_body(undef, $headers, method => 'GET', path => $path);

        if ($reason) {
            invoke_refused("GET $path $name", $r, $status, $reason);

        } else {
            is_deeply([ $r->{status}, $r->{json}{status} ],
                      [ 200, 'healthy' ], "GET $path $name");
        }
    }
}

{
    my $r = send_body(undef, "X-API-Key: $key\r\n", method => 'HEAD',
                      path => '/health');

    is_deeply([ $r->{status}, $r->{body} ], [ 200, '' ], 'HEAD /health');

    $r = send_body(undef, "X-API-Key: $bad\r\n", method => 'HEAD',
                   path => '/health');
    is_deeply([ $r->{status}, $r->{body} ], [ 401, '' ],
              'HEAD /health with another key');
}


# other methods and paths

for ([ 'POST', '/health', 'GET, HEAD' ], [ 'DELETE', '/health', 'GET, HEAD' ],
     [ 'FOO', '/health', 'GET, HEAD' ], [ 'GET', '/iap/sdk/token', 'POST' ],
     [ 'PUT', '/iap/sdk/token', 'POST' ])
{
    my ($method, $path, $allow) = @$_;
    my $r = send_body($method eq 'GET' ? undef : '{}',
                      $json . "X-API-Key: $key\r\n", method => $method,
                      path => $path);

    invoke_refused("$method $path", $r, 405, 'METHOD_NOT_ALLOWED');
    is($r->{headers}{allow}, $allow, 'Allow');
}

for ('/', '/iap/sdk/tokens', '/iap/sdk/token/', '/IAP/sdk/token', '/healthz',
     '/iap/../iap/sdk/Token', '/armoriq/iap', '/armoriq')
{
    my $r = send_body('{}', $json . "X-API-Key: $key\r\n", path => $_);

    is_deeply([ $r->{status}, $r->{headers}{'content-type'},
                $r->{json}{error}, $r->{json}{success} ? 1 : 0 ],
              [ 404, 'application/json', 'NOT_FOUND', 0 ], "POST $_")
        or diag($r->{raw});
}


# a token: every member that an SDK reads

my @steps = (
    { action => 'infra.restart', mcp => 'infra-mcp',
      params => { service_id => 'payments' } },
    { action => 'infra.list', mcp => 'infra-mcp' },
    { action => 'alerts.list', mcp => 'infra-mcp', params => {},
      description => 'Call alerts.list', max_uses => 2 },
);
my $plan = { goal => "Gr\x{fc}\x{df}e", steps => \@steps };

for my $path ('/iap/sdk/token', '/armoriq/iap/sdk/token') {
    my $before = time();
    my $r = ask({ plan => $plan, expires_in => 60.5 }, path => $path);
    my $a = $r->{json};

    is($r->{status}, 200, "POST $path") or diag($r->{raw});
    is($r->{headers}{'cache-control'}, 'no-store', 'is not cached');

    like($r->{body}, qr/^\{"success":true,/, 'success');
    is_deeply([ sort keys %$a ], [ sort qw/success token plan_hash
        merkle_root intent_reference plan_id composite_identity step_proofs
        policy_validation client_info jwt_token policy_snapshot/ ],
        'members of the answer');

    like($a->{$_}, qr/^[0-9a-f]{64}$/, "$_: bare hexadecimal")
        for qw/plan_hash merkle_root composite_identity/;
    is($a->{plan_hash}, $a->{merkle_root}, 'which are the same');
    is($a->{composite_identity},
       sha256_hex("alice|sysadmin|default|$a->{plan_hash}"),
       'composite_identity is the hash of its four');

    like($a->{intent_reference}, qr/^\S{16,}$/, 'intent_reference');
    like($a->{plan_id}, qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
         'plan_id');
    is($a->{client_info}, undef, 'client_info');
    is_deeply($a->{policy_snapshot}, [], 'policy_snapshot');
    is_deeply($a->{policy_validation}, {
        allowed_tools => [ map { $_->{action} } @steps ],
        denied_tools => [], denied_reasons => [],
        default_enforcement_action => 'block',
    }, 'policy_validation');

    my $o = $a->{token};

    is_deeply([ sort keys %$o ], [ sort qw/plan_hash issued_at expires_at
        policy identity public_key signature version/ ],
        'members of the token');
    is($o->{version}, 'IAP-0.1', 'version');
    is($o->{plan_hash}, $a->{plan_hash}, 'its plan_hash');
    is($o->{identity}, $a->{composite_identity}, 'its identity');
    like($o->{public_key}, qr/^[0-9a-f]{64}$/, 'its public_key');
    like($o->{signature}, qr/^[0-9a-f]{128}$/, 'its signature');
    is(ref $o->{policy}{global}{metadata}, 'HASH', 'its policy');
    like($r->{body}, qr/"$_":\d{10}[,}]/, "its $_: an integer")
        for qw/issued_at expires_at/;
    cmp_ok(abs($o->{issued_at} - $before), '<=', 2, 'issued now');
    is($o->{expires_at} - $o->{issued_at}, 60, 'for as long as asked');

    like($a->{jwt_token}, qr/^[\w-]+\.[\w-]+\.[\w-]{86}$/, 'jwt_token');

    my ($h, $c) = map { json_value(unbase64($_)) }
                  (split /\./, $a->{jwt_token})[0, 1];

    is_deeply([ sort keys %$h ], [ qw/alg kid typ/ ], 'its header');
    is("$h->{alg} $h->{typ}", 'EdDSA intent+jwt', 'alg and typ');
    is_deeply([ @$c{qw/sub agent org plan_hash merkle_root steps exp jti/} ],
              [ 'alice', 'sysadmin', 'example', $a->{plan_hash},
                $a->{plan_hash}, 3, $o->{expires_at},
                $a->{intent_reference} ], 'its claims');
}


# proofs, by another implementation: RFC 6962 over RFC 8785

{
    my $a = ask({ plan => $plan })->{json};
    my $root = $a->{plan_hash};

    is(ref $a->{step_proofs}, 'ARRAY', 'step_proofs');
    is(scalar @{ $a->{step_proofs} }, scalar @steps, 'one for each step');

    for my $i (0 .. $#steps) {
        is(unpack('H*', climb(sha256("\0" . json_text({
            path => "/steps/[$i]", step => $steps[$i] })),
            $a->{step_proofs}[$i])), $root, "the proof of step $i");
    }
}

{
    my $a = ask({ plan => { goal => 'x', steps => [ $steps[0] ] } })->{json};

    is(scalar @{ $a->{step_proofs}[0] }, 1,
       'of one step: only the rest of the plan is beside it');
}


# what was issued works

{
    my $a = ask({ plan => $plan })->{json};

    permitted('the JWS', $t->mcp_call('infra.list', { any => 1 },
                                      token => $a->{jwt_token}));

    my $r = $t->invoke('infra.restart', { service_id => 'payments' },
                       token => $a, plan => $plan);

    is($r->{status}, 200, 'the object') or diag($r->{raw});
    is_deeply($t->last_hit()->{json}{params},
              { name => 'infra.restart',
                arguments => { service_id => 'payments' } },
              'and the call has arrived');
    hits();
}


# plans that are refused, each with its sentence

my $step = { action => 'a', mcp => 'infra-mcp' };

for (
    [ 'no plan', undef, 'missing required field "plan"' ],
    [ 'a plan that is none', [], 'the plan is not an object' ],
    [ 'a plan in a string', 'x', 'the plan is not an object' ],
    [ 'no steps', { goal => 'x' }, 'the plan: missing required field "steps"' ],
    [ 'steps that are none', { steps => {} },
      'the plan: "steps" is not an array' ],
    [ 'zero steps', { steps => [] },
      'the plan: "steps" has 0 elements, 1 to 1024 are accepted' ],
    [ '1025 steps', { steps => [ ($step) x 1025 ] },
      'the plan: "steps" has 1025 elements, 1 to 1024 are accepted' ],
    [ 'a step that is none', { steps => [ $step, 7 ] },
      'step 1 is not an object' ],
    [ 'no action', { steps => [ $step, { mcp => 'infra-mcp' } ] },
      'step 1: missing required field "action"' ],
    [ 'no mcp', { steps => [ { action => 'a' } ] },
      'step 0: missing required field "mcp"' ],
    [ 'an action that is none', { steps => [ { %$step, action => 7 } ] },
      'step 0: "action" is not a string' ],
    [ 'an empty action', { steps => [ { %$step, action => '' } ] },
      'step 0: "action" has 0 bytes, 1 to 256 are accepted' ],
    [ 'a long action', { steps => [ { %$step, action => 'a' x 257 } ] },
      'step 0: "action" has 257 bytes, 1 to 256 are accepted' ],
    [ 'an mcp with a control', { steps => [ { %$step, mcp => "a\n" } ] },
      'step 0: "mcp" has a control character' ],
    [ 'params that are none', { steps => [ { %$step, params => [] } ] },
      'step 0: "params" is not an object' ],
    [ 'max_uses 0', { steps => [ { %$step, max_uses => 0 } ] },
      'step 0: "max_uses" is not an integer from 1 to 1000000' ],
    [ 'max_uses in a string', { steps => [ { %$step, max_uses => '2' } ] },
      'step 0: "max_uses" is not an integer from 1 to 1000000' ],
    [ 'max_uses 1.5', { steps => [ { %$step, max_uses => 1.5 } ] },
      'step 0: "max_uses" is not an integer from 1 to 1000000' ],
) {
    my ($name, $p, $text) = @$_;
    my $r = ask({ defined $p ? (plan => $p) : () });

    invoke_refused($name, $r, 400, 'PLAN_INVALID');
    is($r->{json}{message}, $text, 'and it says what is wrong');
}

for (
    [ 'an unknown server', { %$step, mcp => 'other-mcp' }, 404, 'MCP_UNKNOWN',
      qr/^step 1 \("a" on "other-mcp"\): no MCP server is registered/ ],
    [ 'a step that policy denies', { %$step, action => 'infra.wipe' },
      403, 'POLICY_DENY',
      qr/^step 1 \("infra\.wipe" on "infra-mcp"\): a policy denies/ ],
) {
    my ($name, $s, $status, $reason, $text) = @$_;
    my $r = ask({ plan => { steps => [ $step, $s ] } });

    invoke_refused($name, $r, $status, $reason);
    like($r->{json}{message}, $text, 'and it says which');
}


# other members of the request

for (
    [ 'no JSON', '{', 'JSON_INVALID' ],
    [ 'no body', '', 'JSON_INVALID' ],
    [ 'an array', '[]', 'JSON_NOT_OBJECT' ],
    [ 'a member twice', '{"plan":{},"plan":{}}', 'JSON_DUPLICATE_KEY' ],
    [ 'a byte order mark', "\xef\xbb\xbf{}", qr/^JSON_/ ],
    [ 'a NUL', "{}\0", qr/^JSON_/ ],
    [ '2^53', '{"plan":9007199254740992}', 'JSON_NUMBER' ],
    [ 'nested', '{"plan":' . '[' x 100 . ']' x 100 . '}', 'JSON_TOO_DEEP' ],
) {
    my ($name, $body, $reason) = @$_;

    invoke_refused($name, send_body($body, $json . "X-API-Key: $key\r\n",
                                    path => '/iap/sdk/token'), 400, $reason);
}

invoke_refused('more than 1 MB', ask({ plan => { steps => [ $step ],
               goal => 'x' x (1024 * 1024) } }), 413, 'BODY_TOO_LARGE');
invoke_refused('more than 1 MB in chunks', send_raw(
    "POST /iap/sdk/token HTTP/1.1\r\n$json" . "X-API-Key: $key\r\n"
    . chunked('{"plan":"' . 'x' x (1024 * 1024) . '"}', 60000)),
    413, 'BODY_TOO_LARGE');

for ([ 60, 60 ], [ 1, 1 ], [ 86400, 86400 ], [ '60.0', 60 ], [ 1.9, 1 ],
     [ '6e1', 60 ], [ 'null', 60 ], [ undef, 60 ])
{
    my ($seconds, $life) = @$_;
    my $r = raw_ask(defined $seconds ? "\"expires_in\":$seconds," : '');

    is($r->{status} == 200
       && $r->{json}{token}{expires_at} - $r->{json}{token}{issued_at},
       $life, 'expires_in ' . (defined $seconds ? $seconds : 'absent'))
        or diag($r->{raw});
}

for my $seconds (0, 0.5, -1, '-0', 86401, 86400.5, '1e300', '"60"', 'true',
                 '[]', '{}')
{
    my $r = raw_ask("\"expires_in\":$seconds,");

    invoke_refused("expires_in $seconds", $r, 400, qr/^[A-Z_]+$/);
    is($r->{json}{message}, 'expires_in: 1 to 86400 seconds',
       'and it says so');
}

for my $name (qw/user_id agent_id/) {
    for (undef, '""', '"' . 'x' x 257 . '"', '"a\nb"', '7', 'null', '{}') {
        my $r = raw_ask('', $name => $_);

        invoke_refused("$name " . substr(defined $_ ? $_ : 'absent', 0, 10),
                       $r, 400, qr/^[A-Z_]+$/);
        is($r->{json}{message}, "$name: 1 to 256 bytes of text",
           'and it says so');
    }
}

invoke_refused('no key', ask({ plan => $plan }, headers => ''),
               401, 'IDENTITY_MISSING');
invoke_refused('another key', ask({ plan => $plan },
               headers => "X-API-Key: $bad\r\n"), 401, 'KEY_INVALID');
like(ask({ plan => $plan }, headers => '')->{headers}{'www-authenticate'}
         || '', qr/^Bearer /, 'and it is said what is wanted');
is(ask({ plan => $plan }, headers => "Authorization: Bearer $key\r\n")
       ->{status}, 200, 'the key in Authorization');


# policies: of the token, and of the org

for (
    [ 'a policy that is none', [], 'the policy is not an object' ],
    [ 'an unknown member', { alow => [ '*' ] }, qr/^unknown member/ ],
    [ 'allow that is none', { allow => '*' }, qr/^allow: not an array/ ],
    [ 'an hour too late', { allow => [ '*' ],
      time_restrictions => { allowed_hours => [ 24 ] } },
      qr/allowed_hours\[0\]: not an integer from 0 to 23/ ],
    [ 'no address', { allow => [ '*' ], ip_whitelist => [ '192.0.2.300' ] },
      qr/^ip_whitelist\[0\]/ ],
    [ 'longer than a token', { allow => [ ('x' x 200) x 100 ] },
      qr/^policy: longer than/ ],
) {
    my ($name, $policy, $text) = @$_;
    my $r = ask({ plan => $plan, policy => $policy });

    invoke_refused($name, $r, 400, 'POLICY_INVALID');
    like($r->{json}{message}, ref $text ? $text : qr/^\Q$text\E$/,
         'and it says what is wrong');
}

for (
    [ 'one that does not allow a step', { allow => [ 'infra-mcp/x*' ] },
      'POLICY_NOT_ALLOWED' ],
    [ 'one that denies a step', { allow => [ '*' ],
      deny => [ 'infra.list' ] }, 'POLICY_DENY' ],
    [ 'one without the tool', { allow => [ '*' ],
      allowed_tools => [ 'infra.list' ] }, 'POLICY_TOOL' ],
) {
    my ($name, $policy, $reason) = @$_;

    invoke_refused("a policy for the token: $name",
                   ask({ plan => $plan, policy => $policy }), 403, $reason);
}

my @day = qw/Sunday Monday Tuesday Wednesday Thursday Friday Saturday/;
my ($hour, $today) = (gmtime)[2, 6];

for (
    [ 'null', undef ],
    [ 'this address', { allow => [ '*' ],
                        ip_whitelist => [ '127.0.0.0/8' ] } ],
    [ 'another address', { allow => [ '*' ],
                           ip_whitelist => [ '192.0.2.0/24' ] },
      'POLICY_SOURCE' ],
    [ 'no address at all', { allow => [ '*' ], ip_whitelist => [] },
      'POLICY_SOURCE' ],
    [ 'today and tomorrow', { allow => [ '*' ], time_restrictions => {
      allowed_days => [ @day[$today, ($today + 1) % 7] ] } } ],
    [ 'another day', { allow => [ '*' ], time_restrictions => {
      allowed_days => [ $day[($today + 3) % 7] ] } }, 'POLICY_TIME' ],
    [ 'another hour', { allow => [ '*' ], time_restrictions => {
      allowed_hours => [ ($hour + 12) % 24 ] } }, 'POLICY_TIME' ],
) {
    my ($name, $policy, $reason) = @$_;
    my $r = ask({ plan => $plan, policy => $policy });

    is($r->{status}, 200, "a policy for the token: $name") or diag($r->{raw});

    $r = $t->mcp_call('infra.list', {}, token => $r->{json}{jwt_token});

    if ($reason) {
        hidden('holds when it is used', $r, $reason);
    } else {
        permitted('allows its use', $r);
    }
}

{
    my $a = ask({ plan => $plan, policy => { allow => [ '*' ],
                                             rate_limit => 1 } })->{json};

    permitted('one call an hour',
              $t->mcp_call('alerts.list', {}, token => $a->{jwt_token}));

    my $r = $t->mcp_call('alerts.list', {}, token => $a->{jwt_token});

    refused('is one call', $r, 429, 'RATE_LIMITED');
    cmp_ok($r->{headers}{'retry-after'} || 0, '>', 3000, 'Retry-After');
}

{
    my $a = ask({ plan => $plan })->{json};

    $t->add_policy({ name => 'later', priority => 50,
                     deny => [ 'infra-mcp/infra.list' ] });

    hidden('a policy of later holds for a token of before',
           $t->mcp_call('infra.list', {}, token => $a->{jwt_token}),
           'POLICY_DENY');
    permitted('for the tool it is about',
              $t->mcp_call('alerts.list', {}, token => $a->{jwt_token}));
    invoke_refused('nor is there a new token', ask({ plan => $plan }),
                   403, 'POLICY_DENY');

    $t->ctl_ok('policy', 'remove', '--store', $t->store(), '--org',
               'example', 'later');
    permitted('until it is taken back',
              $t->mcp_call('infra.list', {}, token => $a->{jwt_token}));
}


# a token ends with the key that it was issued to, also when it is shown alone

{
    my $new = json_value($t->ctl_ok('key', 'add', '--store', $t->store(),
                                    '--org', 'example', '--json'));
    my $jwt = ask({ plan => $plan },
                  headers => "X-API-Key: $new->{secret}\r\n")
              ->{json}{jwt_token};

    permitted('a token alone', $t->mcp('tools/list', {}, token => $jwt));

    $t->ctl_ok('key', 'remove', '--store', $t->store(), '--org', 'example',
               $new->{id});

    my $r = $t->mcp_call('infra.list', {}, token => $jwt);

    is("$r->{status} $r->{json}{error}{data}{reason}", '401 KEY_INVALID',
       'a token whose key was removed') or diag($r->{raw});
}


# keys that belong to somebody

{
    my $of = sub {
        return json_value($t->ctl_ok('key', 'add', '--store', $t->store(),
                                     '--org', 'example', '--json', @_))
               ->{secret};
    };

    $t->ctl_ok('user', 'add', '--store', $t->store(), '--org', 'example',
               $_) for qw/bob carol/;
    $t->ctl_ok('agent', 'add', '--store', $t->store(), '--org', 'example',
               $_) for qw/deployer builder/;

    my $bob = $of->('--user', 'bob');
    my $both = $of->('--user', 'bob', '--agent', 'deployer');

    for (
        [ 'bound to bob, asks for bob', $bob, 'bob', 'builder', 200 ],
        [ 'bound to bob, asks for carol', $bob, 'carol', 'builder', 401,
          'user_id: the API key belongs to another one' ],
        [ 'bound to bob, asks for nobody', $bob, undef, 'builder', 200 ],
        [ 'bound to both, asks for both', $both, 'bob', 'deployer', 200 ],
        [ 'bound to both, asks for neither', $both, undef, undef, 200 ],
        [ 'bound to both, another agent', $both, 'bob', 'builder', 401,
          'agent_id: the API key belongs to another one' ],
    ) {
        my ($name, $k, $user, $agent, $status, $text) = @$_;
        my $r = ask({ plan => $plan, user_id => $user, agent_id => $agent },
                    headers => "X-API-Key: $k\r\n");

        if ($text) {
            invoke_refused("a key $name", $r, $status, 'TOKEN_OWNER');
            is($r->{json}{message}, $text, 'and it says so');
            next;
        }

        is($r->{status}, 200, "a key $name") or diag($r->{raw});

        my $c = json_value(unbase64((split /\./, $r->{json}{jwt_token})[1]));

        is($c->{sub}, 'bob', 'a token for bob');
        is($c->{agent}, $agent || 'deployer', 'through this agent');

        permitted('works with this key',
                  $t->mcp_call('infra.list', {},
                               token => $r->{json}{jwt_token},
                               headers => "X-API-Key: $k\r\n"));
        refused('and with no other',
                $t->mcp_call('infra.list', {},
                             token => $r->{json}{jwt_token},
                             headers => "X-API-Key: $key\r\n"),
                401, 'TOKEN_OWNER');
    }

    $t->ctl_ok('user', 'remove', '--store', $t->store(), '--org', 'example',
               'bob');

    my $r = ask({ plan => $plan }, headers => "X-API-Key: $bob\r\n");

    is_deeply([ $r->{status}, $r->{json}{success} ? 1 : 0 ], [ 401, 0 ],
              'the key of a user who was removed') or diag($r->{raw});
    isnt(ask({ plan => $plan, user_id => 'bob' })->{status}, 200,
         'nor can others ask for that user');
}


# many steps

for my $n (1000, 1024) {
    my $long = { goal => 'long', steps => [ map { {
        action => "tool$_", mcp => 'infra-mcp', params => { n => $_ },
    } } 0 .. $n - 1 ] };

    my $r = ask({ plan => $long, expires_in => 600 });
    my $a = $r->{json};

    is($r->{status}, 200, "$n steps") or diag(substr $r->{raw}, 0, 500);
    is(scalar @{ $a->{step_proofs} || [] }, $n, 'and as many proofs');

    for my $i (0, $n / 2, $n - 1) {
        is(unpack('H*', climb(sha256("\0" . json_text({
            path => "/steps/[$i]", step => $long->{steps}[$i] })),
            $a->{step_proofs}[$i])), $a->{plan_hash}, "the proof of step $i");
        permitted("a call of step $i",
                  $t->mcp_call("tool$i", { n => $i },
                               token => $a->{jwt_token}));
        refused("and again", $t->mcp_call("tool$i", { n => $i },
                                          token => $a->{jwt_token}),
                409, 'STEP_USED');
    }

    my $last = $n - 2;
    my $v = $t->invoke("tool$last", { n => $last }, token => $a,
                       plan => $long);

    is($v->{status}, 200, "step $last by /invoke, plan and all")
        or diag($v->{raw});
    hits();
}


# at the same time

{
    my $body = json_text({ user_id => 'alice', agent_id => 'sysadmin',
                           plan => $plan, expires_in => 60 });
    my @socks;

    for (1 .. 8) {
        my $s = connected();

        syswrite $s, "POST /iap/sdk/token HTTP/1.1\r\nHost: x\r\n"
            . "Connection: close\r\n$json" . "X-API-Key: $key\r\n"
            . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
        push @socks, $s;
    }

    my @r = map { http_parse(drain($_)) } @socks;
    my %jti = map { ($_->{json}{intent_reference} || '') => 1 } @r;

    is_deeply([ map { $_->{status} } @r ], [ (200) x 8 ],
              'eight at the same time');
    is(scalar keys %jti, 8, 'are eight tokens');

    permitted('each of which works',
              $t->mcp_call('infra.list', {}, token => $_->{json}{jwt_token}))
        for @r;
}

my ($code, $out) = $t->audit_verify();

is($code, 0, 'armoriqctl audit verify') or diag($out);

$t->done_testing();


# what is undef is left out

# the caller is told of no such tool, the record why

sub hidden {
    my ($name, $r, $reason) = @_;
    my $id = $r->{json}{error}{data}{requestId} || '';
    my @record;

    refused($name, $r, 403, 'TOOL_UNKNOWN', -32602);

    for (1 .. 200) {
        @record = grep { $_->{rid} eq $id } $t->audit_records('INTENT');
        last if @record;
        sleep 0.01;
    }

    is(@record ? $record[0]{reason} : '', $reason, "$name: on record");
}

sub ask {
    my ($members, %o) = @_;
    my %m = (user_id => 'alice', agent_id => 'sysadmin',
             context_id => 'default', %$members);

    delete $m{$_} for grep { !defined $m{$_} && $_ ne 'policy' } keys %m;

    return send_body(json_text(\%m),
        $json . (defined $o{headers} ? $o{headers} : "X-API-Key: $key\r\n"),
        path => $o{path} || '/iap/sdk/token');
}

# members as they are written

sub raw_ask {
    my ($members, %o) = @_;
    my %m = (user_id => '"alice"', agent_id => '"sysadmin"', %o);

    return send_body("{$members" . join('', map {
            defined $m{$_} ? "\"$_\":$m{$_}," : ()
        } sort keys %m) . '"plan":' . json_text($plan) . '}',
        $json . "X-API-Key: $key\r\n", path => '/iap/sdk/token');
}

sub unbase64 {
    my ($s) = @_;

    $s =~ tr{-_}{+/};

    return decode_base64($s . '=' x (-length($s) % 4));
}

sub climb {
    my ($hash, $proof) = @_;

    for (@$proof) {
        my $sibling = pack 'H*', $_->{sibling_hash};

        $hash = sha256("\1" . ($_->{position} eq 'left' ? $sibling . $hash
                                                        : $hash . $sibling));
    }

    return $hash;
}
