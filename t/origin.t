#!/usr/bin/perl

# Guards web pages as clients: a page that is not listed is refused and learns
# nothing, one that is listed can ask and read every answer, refusals as well.
# A row that turns green here by answering another page, by sending a
# preflight on, or by letting the MCP server say who is allowed, opens the
# server to whatever page its users have open beside it.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::HTTP2;


my $t = ArmorIQ->new(ports => 3);

my $key = $t->init_store(mcps => [ map { "$_-mcp" }
    qw/infra modern closed dry off down small sdk strict/ ]);

# headers that a careless MCP server sends

my $careless = join '', map { "$_\r\n" }
    'Access-Control-Allow-Origin: *', 'access-control-allow-credentials: true',
    'Access-Control-Expose-Headers: X-Secret', 'Vary: Accept',
    'Access-Control-Allow-Private-Network: true', 'Access-Control: kept';

$t->upstream(answer => sub {
    my ($req) = @_;

    return if !$req->{headers}{'x-careless'};

    return [ 200, "Content-Type: application/json\r\n$careless",
             json_text({ jsonrpc => '2.0', id => $req->{json}{id},
                         result => {} }) ];
});

my $page = 'https://app.example.com';
my $other = 'https://app.example.com:8443';
my $guard = "armoriq on; armoriq_origins $page $other;";

$t->run(<<"EOF");
%%ARMORIQ%%

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
    keepalive 4;
}

proxy_http_version 1.1;
proxy_set_header Connection "";

server {
    listen 127.0.0.1:%%PORT0%%;
    listen 127.0.0.1:%%PORT1%% http2;

    location / { armoriq_api on; }

    location = /mcp    { $guard armoriq_mcp infra-mcp;
                         proxy_pass http://infra/mcp; }
    location = /modern { $guard armoriq_mcp modern-mcp protocol=2026-07-28;
                         proxy_pass http://infra/mcp; }
    location = /closed { armoriq on; armoriq_mcp closed-mcp;
                         proxy_pass http://infra/mcp; }
    location = /dry    { $guard armoriq_dry_run on; armoriq_mcp dry-mcp;
                         proxy_pass http://infra/mcp; }
    location = /off    { armoriq_origins $page;
                         proxy_pass http://127.0.0.1:%%PORT2%%; }
    location = /down   { $guard armoriq_mcp down-mcp;
                         proxy_pass http://127.0.0.1:1; }
    location = /small  { $guard armoriq_mcp small-mcp;
                         client_max_body_size 10;
                         proxy_pass http://infra/mcp; }

    location = /invoke { armoriq on; armoriq_invoke on;
                         armoriq_origins https://sdk.example.com; }
    location = /sdk    { armoriq on; armoriq_mcp sdk-mcp stateless;
                         proxy_pass http://infra/mcp; }

    location /moved    { $guard armoriq_mcp strict-mcp;
                         try_files /none /moved/strict;
                         location = /moved/strict {
                             armoriq_origins https://no.example.com;
                             proxy_pass http://infra; } }
}

server {
    listen 127.0.0.1:%%PORT2%%;

    add_header Access-Control-Allow-Origin *;
    add_header Vary Accept;

    location / { return 200 \$request_method; }
}
EOF

my $plan = { goal => 'pages', steps => [ map { {
    action => 'infra.list', mcp => $_, max_uses => 100000,
} } map { "$_-mcp" } qw/infra modern closed dry down sdk strict/ ] };

my $issued = $t->request_token(plan => $plan, seconds => 600);
my $jws = $issued->{jwt_token} or BAIL_OUT('no token');

my $json = "Content-Type: application/json\r\n"
    . "Accept: application/json, text/event-stream\r\n";
my $token = "Authorization: Bearer $jws\r\n";

my $call = json_text({ jsonrpc => '2.0', id => 1, method => 'tools/call',
    params => { name => 'infra.list', arguments => {} } });

my $expose = 'Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, '
    . 'Retry-After, X-ArmorIQ-Record, X-ArmorIQ-Leaf';
my $allow = 'Content-Type, Accept, Authorization, X-API-Key, '
    . 'X-ArmorIQ-Intent, X-CSRG-Path, X-CSRG-Proof, X-CSRG-Value-Digest, '
    . 'X-CSRG-Step, MCP-Protocol-Version, Mcp-Session-Id, Last-Event-ID, '
    . 'Mcp-Method, Mcp-Name';

my $hits = $t->hit_count();
my $asks = "Access-Control-Request-Method: POST\r\n";

for my $h2 (0, 1) {
    test_preflight($h2);
    test_names($h2);
    test_no_preflight($h2);
    test_other_pages($h2);
    test_answers($h2);
    test_careless($h2);
    test_nginx($h2);
    test_dry_run($h2);
}

test_framing();
test_untouched();
test_invoke();
test_moved();
test_off();
test_config();

$t->done_testing();


# one request, over either protocol

sub ask {
    my ($h2, $path, %o) = @_;

    return $h2 ? h2($t->port(1), $path, %o)
               : http_parse(http($t->port(0), $path, %o));
}

sub post {
    my ($h2, $path, $headers) = @_;

    return ask($h2, $path, body => $call,
               headers => "$json$token" . ($headers || ''));
}

sub preflight {
    my ($h2, $path, $headers) = @_;

    return ask($h2, $path, method => 'OPTIONS', headers => $headers);
}

# all headers of CORS, and Vary, as "name: value", sorted

sub cors {
    my ($r) = @_;
    my ($head) = split /\r\n\r\n/, $r->{raw};

    return sort map { /^([^:]+): ?(.*)/ ? lc($1) . ": $2" : () }
           grep { /^(?:access-control-[\w-]+|vary):/i }
           split /\r\n/, $head;
}

sub shared {
    my ($origin, @more) = @_;
    my @all = sort "access-control-allow-origin: $origin",
                   "access-control-expose-headers: $expose", 'vary: Origin',
                   @more;

    return @all;
}

# status, reason, headers, requests that have reached the MCP server

sub said {
    my ($name, $r, $status, $why, $hit, @cors) = @_;
    my $before = $hits;

    $hits = $t->hit_count();

    is_deeply([ $r->{status}, $r->{why}, $hits - $before, cors($r) ],
              [ $status, $why, $hit, @cors ], $name)
        or diag(substr $r->{raw}, 0, 1500);
}

sub proto { $_[0] ? 'h2' : 'h1' }

sub answered {
    my ($name, $r, $origin, $methods, $names) = @_;

    said($name, $r, 204, '', 0, shared($origin,
         "access-control-allow-methods: $methods",
         "access-control-allow-headers: $names",
         'access-control-max-age: 600'));
    is($r->{body}, '', "$name: no body");
}


# a browser asks first, without credentials

sub test_preflight {
    my ($h2) = @_;
    my $p = proto($h2);
    my $all = 'POST, GET, DELETE, OPTIONS';
    my $records = $t->audit_records('INTENT');

    answered("$p: a preflight", preflight($h2, '/mcp',
             "Origin: $page\r\n$asks"), $page, $all, $allow);
    answered("$p: of the other page", preflight($h2, '/mcp',
             "Origin: $other\r\n$asks"), $other, $all, $allow);
    answered("$p: for DELETE", preflight($h2, '/mcp', "Origin: $page\r\n"
             . "Access-Control-Request-Method: DELETE\r\n"),
             $page, $all, $allow);
    answered("$p: with credentials, which are not looked at",
             preflight($h2, '/mcp', "Origin: $page\r\n${asks}"
             . "Authorization: Bearer x\r\nX-API-Key: $key\r\n"),
             $page, $all, $allow);
    answered("$p: where there is only POST", preflight($h2, '/modern',
             "Origin: $page\r\n$asks"), $page, 'POST', $allow);
    answered("$p: for /invoke", preflight($h2, '/invoke',
             "Origin: https://sdk.example.com\r\n$asks"),
             'https://sdk.example.com', 'POST', $allow);
    answered("$p: in a dry run", preflight($h2, '/dry',
             "Origin: $page\r\n$asks"), $page, $all, $allow);

    is(scalar(my @r = $t->audit_records('INTENT')), $records,
       "$p: a preflight is no call");
}

# names of Mcp-Param headers are echoed, nothing else is

sub test_names {
    my ($h2) = @_;
    my $p = proto($h2);
    my $long = 'mcp-param-' . 'x' x 118;
    my $many = join ',', map { "mcp-param-$_" } 1 .. 40;

    for (
        [ 'content-type,authorization', '' ],
        [ 'mcp-param-region', ', mcp-param-region' ],
        [ "x-evil, Mcp-Param-A ,\tMCP-PARAM-b-2,, mcp-param-",
          ', Mcp-Param-A, MCP-PARAM-b-2' ],
        [ "mcp-param-!#\$%&'*+-.^_`|~9", ", mcp-param-!#\$%&'*+-.^_`|~9" ],
        [ 'mcp-param-a b, mcp-param-a:b, mcp-param-"a", mcp-param-(a), '
          . 'mcp-param-a/b, mcp-param-a;b, mcp-param-<a>, mcp-param-{a}, '
          . "mcp-param-a\@b, mcp-param-\xe9", '' ],
        [ 'mcp-params, xmcp-param-a, *', '' ],
        [ $long, ", $long" ], [ "${long}x", '' ],
        [ $many, join '', map { ", mcp-param-$_" } 1 .. 32 ],
        [ '', '' ], [ ',', '' ], [ ' , ', '' ],
    ) {
        my ($asked, $echoed) = @$_;

        answered("$p: asked for " . substr($asked, 0, 40) =~ s/[^ -~]/?/gr,
            preflight($h2, '/mcp', "Origin: $page\r\n$asks"
                . "Access-Control-Request-Headers: $asked\r\n"),
            $page, 'POST, GET, DELETE, OPTIONS', $allow . $echoed);
    }

    answered("$p: on two lines", preflight($h2, '/mcp',
        "Origin: $page\r\n$asks"
        . "Access-Control-Request-Headers: mcp-param-a\r\n"
        . "Access-Control-Request-Headers: mcp-param-b\r\n"),
        $page, 'POST, GET, DELETE, OPTIONS',
        "$allow, mcp-param-a, mcp-param-b");
}

# any other OPTIONS is a method like others: refused, and recorded

sub test_no_preflight {
    my ($h2) = @_;
    my $p = proto($h2);
    my @before = $t->audit_records('INTENT');

    said("$p: OPTIONS of nobody", preflight($h2, '/mcp', $asks),
         405, 'METHOD_NOT_ALLOWED', 0);
    said("$p: OPTIONS with a token", preflight($h2, '/mcp', $token),
         405, 'METHOD_NOT_ALLOWED', 0);
    said("$p: OPTIONS of a page, which asks for nothing",
         preflight($h2, '/mcp', "Origin: $page\r\n"),
         405, 'METHOD_NOT_ALLOWED', 0, shared($page));
    said("$p: for no method", preflight($h2, '/mcp', "Origin: $page\r\n"
         . "Access-Control-Request-Method: \r\n"),
         405, 'METHOD_NOT_ALLOWED', 0, shared($page));
    said("$p: for two methods", preflight($h2, '/mcp',
         "Origin: $page\r\n$asks$asks"),
         405, 'METHOD_NOT_ALLOWED', 0, shared($page));
    said("$p: with a body", ask($h2, '/mcp', method => 'OPTIONS',
         body => $call, headers => "Origin: $page\r\n$asks$json$token"),
         405, 'METHOD_NOT_ALLOWED', 0, shared($page));
    said("$p: where there are no pages", preflight($h2, '/closed',
         "Origin: $page\r\n$asks"), 403, 'ORIGIN_NOT_ALLOWED', 0);

    my @records;

    for (1 .. 100) {
        @records = $t->audit_records('INTENT');
        last if @records >= @before + 7;
        sleep 0.02;
    }

    is_deeply([ map { "$_->{http} $_->{reason}" }
                @records[scalar @before .. $#records] ],
              [ ('OPTIONS METHOD_NOT_ALLOWED') x 6,
                'OPTIONS ORIGIN_NOT_ALLOWED' ],
              "$p: each of them is in the log");
}

# nobody else: no way of writing it that a browser would not use

sub test_other_pages {
    my ($h2) = @_;
    my $p = proto($h2);

    for my $origin ('https://evil.example.com', 'null', 'https://null',
        'http://app.example.com', 'HTTPS://APP.EXAMPLE.COM',
        'https://App.example.com', 'https://app.example.com/',
        'https://app.example.com:443', 'https://app.example.com:8444',
        'https://app.example.com:', 'https://app.example.com.',
        'https://app.example.com.evil.example', 'https://app.example.co',
        'https://xapp.example.com', 'app.example.com', '//app.example.com',
        'https://evil.example.com https://app.example.com',
        'https://app.example.com https://evil.example.com',
        'https://app.example.com, https://app.example.com',
        'https://app.example.com#', 'https://user@app.example.com',
        'https://*.example.com', '*', '')
    {
        my $head = "Origin: $origin\r\n";

        said("$p: POST, \"$origin\"", post($h2, '/mcp', $head),
             403, 'ORIGIN_NOT_ALLOWED', 0);
        said("$p: OPTIONS, \"$origin\"",
             preflight($h2, '/mcp', $head . $asks),
             403, 'ORIGIN_NOT_ALLOWED', 0);
    }

    my $evil = "Origin: https://evil.example.com\r\n";

    for my $method (qw/GET DELETE PUT/) {
        said("$p: $method, another page",
             ask($h2, '/mcp', method => $method, headers => $token . $evil),
             403, 'ORIGIN_NOT_ALLOWED', 0);
    }

    said("$p: GET where there is only POST, another page",
         ask($h2, '/modern', headers => $token . $evil),
         403, 'ORIGIN_NOT_ALLOWED', 0);
    said("$p: any page where none is listed",
         post($h2, '/closed', "Origin: $page\r\n"),
         403, 'ORIGIN_NOT_ALLOWED', 0);

    for ([ "Origin: $page\r\n", $evil ], [ $evil, "Origin: $page\r\n" ],
         [ "Origin: $page\r\n", "Origin: $page\r\n" ],
         [ "Origin: $page\r\n", "ORIGIN: $other\r\n" ])
    {
        said("$p: two of them", post($h2, '/mcp', join '', @$_),
             400, 'HEADER_DUPLICATE', 0);
        said("$p: two of them ask", preflight($h2, '/mcp',
             join '', @$_, $asks), 400, 'HEADER_DUPLICATE', 0);
    }
}

# what a listed page gets to read

sub test_answers {
    my ($h2) = @_;
    my $p = proto($h2);
    my $head = "Origin: $page\r\n";

    said("$p: a call", post($h2, '/mcp', $head), 200, '', 1, shared($page));
    said("$p: of the other page", post($h2, '/mcp', "Origin: $other\r\n"),
         200, '', 1, shared($other));
    said("$p: a stream that the server does not have",
         ask($h2, '/mcp', headers => $token . $head),
         405, '', 1, shared($page));
    said("$p: without a token",
         ask($h2, '/mcp', body => $call, headers => $json . $head),
         401, 'IDENTITY_MISSING', 0, shared($page));
    said("$p: not planned", ask($h2, '/mcp',
         body => $call =~ s/infra\.list/infra.kill/r,
         headers => $json . $token . $head),
         409, 'STEP_NOT_PLANNED', 0, shared($page));
    said("$p: no JSON", ask($h2, '/mcp', body => '{',
         headers => $json . $token . $head),
         400, 'JSON_INVALID', 0, shared($page));
    said("$p: a method that there is not",
         ask($h2, '/mcp', method => 'PUT', headers => $token . $head),
         405, 'METHOD_NOT_ALLOWED', 0, shared($page));
    said("$p: another header twice", post($h2, '/mcp',
         $head . "Mcp-Name: a\r\nMcp-Name: a\r\n"),
         400, 'HEADER_DUPLICATE', 0, shared($page));
}

# the MCP server does not know who is allowed

sub test_careless {
    my ($h2) = @_;
    my $p = proto($h2);
    my $r = post($h2, '/mcp', "Origin: $page\r\nX-Careless: 1\r\n");

    said("$p: what a server says is replaced", $r, 200, '', 1,
         shared($page, 'vary: Accept'));
    is($r->{headers}{'access-control'}, 'kept',
       "$p: but only what is about pages");

    said("$p: and is its own business without a page",
         post($h2, '/mcp', "X-Careless: 1\r\n"), 200, '', 1, careless());
}

# answers that nginx makes itself

sub test_nginx {
    my ($h2) = @_;
    my $p = proto($h2);
    my $head = "Origin: $page\r\n";

    my $r = post($h2, '/down', $head);

    is_deeply([ $r->{status}, cors($r) ], [ 502, shared($page) ],
              "$p: the server is down");

    $r = post($h2, '/small', $head);

    is_deeply([ $r->{status}, cors($r) ], [ 413, shared($page) ],
              "$p: nginx refuses the body");

    $r = post($h2, '/small', "Origin: https://evil.example.com\r\n");

    is_deeply([ $r->{status}, cors($r) ], [ 413 ], "$p: of another page");

    $hits = $t->hit_count();
}

# nothing changes but for those that are listed

sub test_dry_run {
    my ($h2) = @_;
    my $p = proto($h2);

    said("$p: dry run, a listed page",
         post($h2, '/dry', "Origin: $page\r\n"), 200, '', 1, shared($page));
    said("$p: dry run, another page",
         post($h2, '/dry', "Origin: https://evil.example.com\r\n"),
         200, '', 1);
}


# what only HTTP/1.1 can say

sub test_framing {
    my $head = "Host: x\r\nConnection: close\r\nOrigin: $page\r\n$asks";

    said('a preflight in chunks', http_parse(http_raw($t->port(0),
         "OPTIONS /mcp HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n"
         . "1\r\n{\r\n0\r\n\r\n")),
         405, 'METHOD_NOT_ALLOWED', 0, shared($page));
    said('HTTP/1.0', http_parse(http_raw($t->port(0),
         "OPTIONS /mcp HTTP/1.0\r\n$head\r\n")), 204, '', 0,
         shared($page, "access-control-allow-headers: $allow",
                'access-control-allow-methods: POST, GET, DELETE, OPTIONS',
                'access-control-max-age: 600'));

    # an empty body is none, and the connection goes on

    my $raw = http_raw($t->port(0),
        "OPTIONS /mcp HTTP/1.1\r\nHost: x\r\nOrigin: $page\r\n$asks"
        . "Content-Length: 0\r\n\r\n"
        . "POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        . "Origin: $page\r\n$json${token}Content-Length: " . length($call)
        . "\r\n\r\n$call");

    is(join(' ', $raw =~ m{^HTTP/1\.1 (\d+)}mg), '204 200',
       'asks, and then calls, on one connection');
    is($t->hit_count(), ++$hits, 'and calls once');
}

# byte for byte, but for the time and the number of the record

sub test_untouched {
    for my $careless ('', "X-Careless: 1\r\n") {
        my ($with, $without) = map {
            post(0, $_, $careless)->{raw}
                =~ s/^(?:Date|X-ArmorIQ-(?:Record|Leaf)): .*\r\n//mgr
        } '/mcp', '/closed';

        is($with, $without, 'without an Origin nothing is touched');
    }

    my ($with, $without) = map {
        http($t->port(0), $_, body => $call, headers => $json)
            =~ s/^Date: .*\r\n//mr =~ s/[0-9a-f]{32}/RID/r
    } '/mcp', '/closed';

    is($with, $without, 'nor is a refusal');

    $hits = $t->hit_count();
}

# the page was allowed where it asked; the answer comes from another location

sub test_invoke {
    my $head = "Origin: https://sdk.example.com\r\n";
    my %o = (mcp => 'sdk-mcp', token => $issued, plan => $plan,
             no_csrg => 1);

    said('/invoke', $t->invoke('infra.list', {}, %o, headers => $head),
         200, '', 1, shared('https://sdk.example.com'));
    said('/invoke, refused',
         $t->invoke('infra.kill', {}, %o, headers => $head),
         409, 'STEP_NOT_PLANNED', 0, shared('https://sdk.example.com'));
    said('/invoke, a page of the MCP server only',
         $t->invoke('infra.list', {}, %o, headers => "Origin: $page\r\n"),
         403, 'ORIGIN_NOT_ALLOWED', 0);
    said('/invoke, nobody', $t->invoke('infra.list', {}, %o), 200, '', 1);
}

sub test_moved {
    said('a page that is not listed where the call ends up',
         post(0, '/moved', "Origin: $page\r\n"),
         403, 'ORIGIN_NOT_ALLOWED', 0);
}

sub test_off {
    for my $method (qw/OPTIONS POST/) {
        my $r = ask(0, '/off', method => $method,
                    headers => "Origin: $page\r\n$asks");

        is_deeply([ $r->{status}, $r->{body}, cors($r) ],
                  [ 200, $method, 'access-control-allow-origin: *',
                    'vary: Accept' ], "armoriq off: $method is passed on");
    }
}

# what a careless server says about pages

sub careless {
    my @all = sort map { lc($1) . $2 if /^([\w-]+)(.*)/ }
              grep { !/^Access-Control:/ } split /\r\n/, $careless;

    return @all;
}

sub test_config {
    my $c = ArmorIQ->new();

    $c->init_store();

    for my $origin ('*', 'null', 'https://App.example.com', 'app.example.com',
                    'https://app.example.com/', 'https://a.example/x',
                    'https://', 'https://*.example.com', '~.*',
                    'https://user@app.example.com', 'https://a.example:',
                    'https://a.example:443', 'http://a.example:80',
                    'https://a.example:0', 'https://a.example:65536',
                    'https://a.example:1x', 'https://a:1:2', 'https://:1')
    {
        $c->configure("%%ARMORIQ%%\narmoriq_origins $page '$origin';");

        my ($code, $out) = $c->check_config();

        is($code, 1, "armoriq_origins $origin: refused");
        like($out, qr/invalid origin "\Q$origin\E"/, 'and said so');
    }

    for my $origin ('https://app.example.com', 'http://localhost:3000',
                    'http://[::1]:8080', 'http://[::1]', 'http://192.0.2.1',
                    'http://a.example:443', 'chrome-extension://abcdef')
    {
        $c->configure("%%ARMORIQ%%\narmoriq_origins $origin;");

        my ($code, $out) = $c->check_config();

        is($code, 0, "armoriq_origins $origin") or diag($out);
    }
}
