#!/usr/bin/perl

# Guards the answers that nginx makes itself in protected locations: they are
# JSON in the shape that the client reads, with the status, the headers and the
# connection as nginx has them, and with the id of the call where it was read.
# And that nothing else is taken for one: what an upstream, an error_page or a
# "return" with a text says comes through byte by byte.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::HTTP2;
use ArmorIQ::Rows;


my %title = (
    400 => 'Bad Request', 401 => 'Authorization Required',
    403 => 'Forbidden', 404 => 'Not Found', 405 => 'Not Allowed',
    406 => 'Not Acceptable', 407 => 'Proxy Authentication Required',
    409 => 'Conflict', 410 => 'Gone',
    411 => 'Length Required', 412 => 'Precondition Failed',
    413 => 'Request Entity Too Large', 414 => 'Request-URI Too Large',
    415 => 'Unsupported Media Type',
    416 => 'Requested Range Not Satisfiable', 418 => 'Error', 422 => 'Error',
    429 => 'Too Many Requests', 500 => 'Internal Server Error',
    501 => 'Not Implemented', 502 => 'Bad Gateway',
    503 => 'Service Temporarily Unavailable', 504 => 'Gateway Time-out',
    505 => 'HTTP Version Not Supported', 507 => 'Insufficient Storage',
);

my $html = "<html><body>an error page of the upstream</body></html>\n";

# nginx's own page has this length: 502, "nginx" as the signature

my $twin = 'x' x length page('502 Bad Gateway', 'nginx');

my %upstream = (
    'infra.502' => [ 502, "Content-Type: text/html\r\nX-Up: 1\r\n", $html ],
    'infra.twin' => [ 502, "Content-Type: text/html\r\n", $twin ],
    'infra.404' => [ 404, "Content-Type: application/json\r\n",
        '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}' ],
    'infra.400' => [ 400, "Content-Type: application/json\r\n", '{ }' ],
    'infra.401' => [ 401, "Content-Type: text/html\r\n"
                          . "WWW-Authenticate: Up\r\n", '' ],
    'infra.500' => [ 500, '', "plain\0bytes\xff" ],
    'infra.503' => [ 503, "Content-Type: text/html\r\nRetry-After: 7\r\n",
                     $html ],
);

my $t = ArmorIQ->new(ports => 4);
my $key = $t->init_store(mcps => [ qw/infra-mcp dead-mcp slow-mcp
                                    files-mcp up-mcp page-mcp/ ]);

$t->upstream(answer => sub {
    my ($req) = @_;
    my $name = ref $req->{json} ? $req->{json}{params}{name} || '' : '';

    $name = 'infra.twin' if $req->{uri} eq '/up';

    # longer than proxy_read_timeout, and until nginx has gone

    select undef, undef, undef, 4 if $name eq 'infra.slow';

    return $upstream{$name};
});

$t->write('htpasswd', "alice:{PLAIN}secret\n");
mkdir $t->dir() . '/html' or die;
$t->write('html/file', "a file\n");
$t->write('html/page.html', "<b>a page of the operator</b>\n");

$t->run(<<"EOF2");
%%ARMORIQ%%
limit_req_zone \$binary_remote_addr zone=r:1m rate=1r/m;
lingering_timeout 500ms;
proxy_http_version 1.1;
proxy_set_header Connection "";

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

upstream dead {
    server 127.0.0.1:%%PORT3%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;
    listen 127.0.0.1:%%PORT1%% http2;

    location / { armoriq_api on; }

    location /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
        proxy_read_timeout 1s;

        location = /mcp/large {
            client_max_body_size 50;
            proxy_pass http://infra/mcp;
        }
        location = /mcp/basic {
            auth_basic closed;
            auth_basic_user_file %%DIR%%/htpasswd;
        }
        location = /mcp/closed { deny all; }
        location = /mcp/rate {
            limit_req zone=r;
            limit_req_status 429;
            proxy_pass http://infra/mcp;
        }
        location = /mcp/rate503 {
            limit_req zone=r;
            proxy_pass http://infra/mcp;
        }
        location = /mcp/intercept {
            proxy_pass http://infra/mcp;
            proxy_intercept_errors on;
        }
        location = /mcp/text { return 403 "closed\\n"; }
        location = /mcp/empty { return 404 ""; }
        location = /mcp/moved { return 301 /elsewhere; }
    }

    location = /dead {
        armoriq on;
        armoriq_mcp dead-mcp stateless;
        proxy_pass http://dead/mcp;
    }

    location = /slow {
        armoriq on;
        armoriq_mcp slow-mcp;
        proxy_pass http://infra/mcp;
        proxy_read_timeout 1s;
    }

    # answered by nginx's own handler of files

    location /files/ {
        armoriq on;
        armoriq_mcp files-mcp;
        alias %%DIR%%/html/;
    }

    location ~ ^/status/(?<wanted>\\d+)\$ {
        armoriq on;

        @{[ map { "if (\$wanted = $_) { return $_; }\n" } sort keys %title ]}
    }

    location = /off {
        armoriq off;
        return 404;
    }

    location = /invoke { armoriq on; armoriq_invoke on; }

    location = /invoke/large {
        armoriq on;
        armoriq_invoke on;
        client_max_body_size 50;
    }

    location = /invoke/closed { armoriq on; armoriq_invoke on; deny all; }
    location = /invoke/gone { armoriq on; armoriq_invoke on; return 404; }


    # error_page stays in force

    location = /page/uri { armoriq on; error_page 404 /custom; return 404; }
    location = /page/200 {
        armoriq on;
        error_page 404 =200 /custom;
        return 404;
    }
    location = /page/its {
        armoriq on;
        error_page 404 = /custom;
        return 404;
    }
    location = /page/named { armoriq on; error_page 404 \@open; return 404; }
    location = /page/url {
        armoriq on;
        error_page 404 http://example.com/;
        return 404;
    }
    location = /page/file { armoriq on; error_page 404 /page.html; return 404; }
    location = /page/other { armoriq on; error_page 403 /custom; return 404; }
    location = /page/text { armoriq on; error_page 404 \@text; return 404; }
    location = /page/html { armoriq on; error_page 404 /own.html; return 404; }
    location = /page/up { armoriq on; error_page 502 /up; return 502; }
    location = /page/again { armoriq on; error_page 404 \@gone; return 404; }
    location = /page/off { armoriq on; error_page 404 \@gone_off; return 404; }
    location = /page/build {
        armoriq on;
        error_page 404 \@gone_build;
        return 404;
    }
    location = /page/bare { armoriq on; error_page 404 \@bare; return 404; }
    location = /page/recursive {
        armoriq on;
        recursive_error_pages on;
        error_page 404 \@one;
        return 404;
    }
    location = /page/twice {
        armoriq on;
        recursive_error_pages on;
        error_page 404 \@two;
        return 404;
    }
    location = /page/dead {
        armoriq on;
        armoriq_mcp page-mcp;
        error_page 502 504 /custom;
        proxy_pass http://dead/mcp;
    }

    location = /custom {
        armoriq off;
        internal;
        default_type text/html;
        return 200 "custom\\n";
    }

    location = /page.html { armoriq off; root %%DIR%%/html; }
    location \@open { armoriq off; return 202 "open\\n"; }
    location \@text {
        armoriq on;
        default_type text/html;
        return 200 "text\\n";
    }
    location = /own.html { armoriq on; return 200 "<b>own</b>\\n"; }
    location = /up {
        armoriq on;
        armoriq_mcp up-mcp;
        server_tokens off;
        proxy_pass http://infra;
    }
    location \@gone { armoriq on; return 404; }
    location \@gone_off { armoriq on; server_tokens off; return 410; }
    location \@gone_build { armoriq on; server_tokens build; return 403; }
    location \@bare { armoriq off; return 404; }
    location \@one {
        armoriq on;
        recursive_error_pages on;
        error_page 403 /custom;
        return 403;
    }
    location \@two { armoriq on; recursive_error_pages on; return 403; }
}

server {
    listen 127.0.0.1:%%PORT2%%;
    armoriq on;
    client_header_buffer_size 1k;
    large_client_header_buffers 2 1k;
    return 404;
}
EOF2

my $many = 100000;

my $plan = { goal => 'errors', steps => [
    (map { { action => $_, mcp => 'infra-mcp', max_uses => $many } }
     'infra.list', sort keys %upstream),
    (map { { action => 'infra.list', mcp => $_, max_uses => $many } }
     qw/dead-mcp files-mcp page-mcp/),
    { action => 'infra.slow', mcp => 'slow-mcp', max_uses => $many },
] };

my $issued = $t->request_token(plan => $plan, seconds => 600);
my $json = "Content-Type: application/json\r\n";
my $token = "Authorization: Bearer $issued->{jwt_token}\r\n";
my $xtoken = "X-ArmorIQ-Intent: $issued->{jwt_token}\r\n";
my $xkey = "X-API-Key: $key\r\n";
my $list = rpc('infra.list', {});

rows($t);


# MCP locations: [ name, path, status, id or undef, options ]

my $string_id = '"\u0061\"\\\\ \/ ' . "\xc3\xa9" . '"';

my @rows = (
    [ 'a body too large', '/mcp/large', 413, undef ],
    [ 'auth_basic', '/mcp/basic', 401, 1, headers => $xtoken ],
    [ 'deny', '/mcp/closed', 403, 1 ],
    [ 'an upstream that is dead', '/dead', 502, 1 ],
    [ 'an id of escapes', '/dead', 502, $string_id ],
    [ 'the greatest id', '/dead', 502, '9007199254740991' ],
    [ 'the least id', '/dead', 502, '-9007199254740991' ],
    [ 'id 0', '/dead', 502, '0' ],
    [ 'an empty id', '/dead', 502, '""' ],
    [ 'an id of digits', '/dead', 502, '"9007199254740993"' ],
    [ 'a notification', '/dead', 502, undef, judged => 1,
      body => '{"jsonrpc":"2.0","method":"notifications/initialized"}' ],
    [ 'a stream', '/dead', 502, undef, judged => 1,
      method => 'GET', body => undef,
      headers => "${token}Accept: text/event-stream\r\n" ],
    [ 'the end of a session', '/dead', 502, undef, judged => 1,
      method => 'DELETE', body => undef, headers => $token ],
    [ 'a file that accepts no POST', '/files/file', 405, 1 ],
    [ 'no file', '/files/nothing', 404, $string_id ],
    (map { [ "return $_", "/status/$_", $_, undef ] } sort keys %title),
    [ 'return with an empty text', '/mcp/empty', 404, undef ],
    [ 'return after an error_page for others', '/page/other', 404, undef ],
    [ 'an error within an error_page', '/page/again', 404, undef ],
    [ 'server_tokens off', '/page/off', 404, undef, status => 410 ],
    [ 'server_tokens build', '/page/build', 404, undef, status => 403 ],
    [ 'recursive_error_pages', '/page/twice', 404, undef, status => 403 ],
);

for (@rows) {
    my ($name, $path, $status, $id, %o) = @$_;
    my $body = exists $o{body} ? $o{body} : $list;

    $status = $o{status} if $o{status};
    $body =~ s/"id":1/"id":$id/ if defined $body && defined $id;

    my $headers = $json . ($o{headers} || $token);
    my $method = $o{method} || 'POST';

    for my $agent ('test', 'Mozilla/4.0 (compatible; MSIE 6.0; Windows)') {
        my $r = send_body($body, "${headers}User-Agent: $agent\r\n",
                          method => $method, path => $path);

        shaped("$name, " . substr($agent, 0, 7), $r, $status, $id,
               judged => $o{judged});
    }

    shaped("$name, HTTP/2",
           h2($t->port(1), $path, method => $method,
              headers => $headers, defined $body ? (body => $body) : ()),
           $status, $id, judged => $o{judged});
}

{
    my $body = rpc('infra.slow', {}) =~ s/"id":1/"id":$string_id/r;

    shaped('an upstream that is slow',
           send_body($body, $json . $token, path => '/slow'), 504,
           $string_id, hits => 1);
    shaped('an upstream that is slow, HTTP/2',
           h2($t->port(1), '/slow', body => $body, headers => $json . $token),
           504, $string_id, hits => 1);
}

# the one that has used up the rate is passed on

permitted('limit_req: the first',
          send_body($list, $json . $token, path => '/mcp/rate'));
shaped('limit_req', send_body($list, $json . $token, path => '/mcp/rate'),
       429, undef);
shaped('limit_req, 503', send_body($list, $json . $token,
                                   path => '/mcp/rate503'), 503, undef);
shaped('limit_req, HTTP/2',
       h2($t->port(1), '/mcp/rate', body => $list, headers => $json . $token),
       429, undef);


# broken bodies

{
    my $head = "POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        . $json . $token;

    for ([ 'a bad chunk', "5\r\n{\"jsoX\r\n" ],
         [ 'a bad chunk size', "zz\r\n" ])
    {
        shaped($_->[0], http_parse(http_raw($t->port(0),
            "${head}Transfer-Encoding: chunked\r\n\r\n$_->[1]")), 400, undef);
    }

    shaped('chunks too large', send_raw("POST /mcp/large HTTP/1.1\r\n"
        . $json . $token . chunked($list, 30)), 413, undef);
    shaped('too large, a frame after the other',
           h2($t->port(1), '/mcp/large', frames => [ unpack '(a60)*', $list ],
              headers => $json . $token), 413, undef);

    my $s = connected();

    syswrite $s, "POST /mcp/large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        . "$json${token}Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n";
    shaped('too large, and the body is not asked for', http_parse(drain($s)),
           413, undef);

    shaped('chunks too large, asked for', http_parse(http_raw($t->port(0),
        "POST /mcp/large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        . "$json${token}Expect: 100-continue\r\n"
        . chunked($list, 30)) =~ s{^HTTP/1.1 100 .*?\r\n\r\n}{}sr),
        413, undef);

    # of no location yet, so the words of server{} count

    for my $row ([ 'no request', "no request\r\n\r\n", 400 ],
                 [ 'no Host', "GET / HTTP/1.1\r\n\r\n", 400 ],
                 [ 'a long URI', 'GET /' . 'x' x 3000
                   . " HTTP/1.1\r\nHost: x\r\n\r\n", 414 ],
                 [ 'a long header', "GET / HTTP/1.1\r\nHost: x\r\nX: "
                   . 'x' x 3000 . "\r\n\r\n", 400 ],
                 [ 'HTTP/7', "GET / HTTP/7.0\r\nHost: x\r\n\r\n", 505 ])
    {
        my ($name, $raw, $status) = @$row;

        shaped($name, http_parse(http_raw($t->port(2), $raw)), $status,
               undef);
    }
}


# headers that nginx has set stay, the connection as well

{
    my $r = send_body($list, $json . $xtoken, path => '/mcp/basic');

    is($r->{headers}{'www-authenticate'}, 'Basic realm="closed"',
       '401: WWW-Authenticate of auth_basic');

    for my $path ('/status/404', '/mcp/closed', '/dead') {
        my @got = keepalive("POST $path HTTP/1.1\r\nHost: x\r\n$json$token"
            . 'Content-Length: ' . length($list) . "\r\n\r\n$list");

        is(scalar @got, 2, "$path: the connection is kept");
        is_deeply([ map { $_->{status} } @got ],
                  [ $path =~ /(\d+)/ ? 404 : $path eq '/dead' ? 502 : 403,
                    200 ], 'and good for a call');
    }

    seen();

    for my $path ('/status/400', '/status/413', '/status/500') {
        $r = http_parse(http_raw($t->port(0),
                                 "GET $path HTTP/1.1\r\nHost: x\r\n\r\n"));

        is($r->{headers}{connection}, 'close', "$path: it is not");
    }
}

for my $path ('/status/404', '/dead', '/status/422') {
    my $head = http($t->port(0), $path, method => 'HEAD',
                    headers => $token);
    my $r = http_parse($head);

    is($r->{body}, '', "HEAD $path: no body");
    is($r->{headers}{'content-type'}, 'application/json', 'its type');
    cmp_ok($r->{headers}{'content-length'}, '>', 60, 'and its length');

    is(h2($t->port(1), $path, method => 'HEAD', headers => $token)->{body},
       '', "HEAD $path, HTTP/2: no body");
}

{
    my @got = keepalive("HEAD /status/404 HTTP/1.1\r\nHost: x\r\n\r\n");

    is_deeply([ map { $_->{status} } @got ], [ 404, 200 ],
              'HEAD: the connection is kept');
    seen();
}


# the shape of the SDKs

sdk_shaped('/invoke: too large', send_body($list, $json . $token,
    path => '/invoke/large'), 413);
sdk_shaped('/invoke: return', send_body($list, $json . $token,
    path => '/invoke/gone'), 404);
sdk_shaped('/invoke: a bad chunk', http_parse(http_raw($t->port(0),
    "POST /invoke HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    . "$json${xkey}Transfer-Encoding: chunked\r\n\r\nzz\r\n")), 400);
sdk_shaped('/invoke: deny', invoke('infra.list', 'infra-mcp',
                                   '/invoke/closed'), 403,
           'infra-mcp', 'infra.list');
sdk_shaped('/invoke: the server is dead', invoke('infra.list', 'dead-mcp'),
           502, 'dead-mcp', 'infra.list');
sdk_shaped('/invoke: too large, HTTP/2', h2($t->port(1), '/invoke/large',
    body => $list, headers => $json . $token), 413, undef, undef);
sdk_shaped('/invoke: the server is slow', invoke('infra.slow', 'slow-mcp'),
           504, 'slow-mcp', 'infra.slow', hits => 3);


# what is not nginx's

for my $tool (sort keys %upstream) {
    my ($status, $headers, $body) = @{ $upstream{$tool} };

    for my $path ('/mcp', '/mcp/intercept') {
        my $r = send_body(rpc($tool, {}), $json . $token, path => $path);

        is_deeply([ $r->{status}, $r->{body}, seen() ], [ $status, $body, 1 ],
                  "$tool, $path: as the upstream has said it");
        is($r->{headers}{lc $1}, $2, "$1: $2")
            while $headers =~ /^([^:]+): (.*)\r$/mg;
        is($r->{headers}{'cache-control'}, undef, 'and no more');
    }

    my $r = h2($t->port(1), '/mcp', body => rpc($tool, {}),
               headers => $json . $token);

    is_deeply([ $r->{status}, $r->{body}, seen() ], [ $status, $body, 1 ],
              "$tool, HTTP/2");
}

for (
    [ 'a text', '/mcp/text', 403, "closed\n" ],
    [ 'error_page', '/page/uri', 404, "custom\n" ],
    [ 'error_page =200', '/page/200', 200, "custom\n" ],
    [ 'error_page =', '/page/its', 200, "custom\n" ],
    [ 'error_page, named', '/page/named', 404, "open\n" ],
    [ 'error_page, a file', '/page/file', 404,
      "<b>a page of the operator</b>\n" ],
    [ 'error_page, a text in a protected location', '/page/text', 404,
      "text\n" ],
    [ 'error_page, one of type text/html', '/page/html', 404,
      "<b>own</b>\n" ],
    [ 'error_page of an upstream', '/page/dead', 502, "custom\n" ],
    [ 'recursive_error_pages', '/page/recursive', 403, "custom\n" ],
    [ 'error_page, nginx in a location that is open', '/page/bare', 404,
      page('404 Not Found') ],
    [ 'armoriq off', '/off', 404, page('404 Not Found') ],
) {
    my ($name, $path, $status, $body) = @$_;
    my $r = send_body($list, $json . $token, path => $path);

    is_deeply([ $r->{status}, $r->{body} ], [ $status, $body ], $name);
    is($r->{headers}{'cache-control'}, undef, 'and its headers');

    $r = h2($t->port(1), $path, body => $list, headers => $json . $token);
    is_deeply([ $r->{status}, $r->{body} ], [ $status, $body ],
              "$name, HTTP/2");
}

{
    my $r = send_body($list, $json . $token, path => '/page/url');

    is_deeply([ $r->{status}, $r->{headers}{location} ],
              [ 302, 'http://example.com/' ], 'error_page, another host');
    like($r->{body}, qr/<title>302/, 'is left as it is');

    $r = send_body($list, $json . $token, path => '/mcp/moved');
    is($r->{status}, 301, 'return 301');
    like($r->{body}, qr/<title>301/, 'is left as it is');

    # the status that error_page has left behind is over another answer

    seen();
    $r = http_parse(http($t->port(0), '/page/up', headers => $token));
    is_deeply([ $r->{status}, $r->{body}, seen() ], [ 502, $twin, 1 ],
              'an upstream behind error_page');
}

my ($code, $out) = $t->audit_verify();

is($code, 0, 'armoriqctl audit verify') or diag($out);

$t->done_testing();


sub page {
    my ($line, $name) = @_;

    if (!defined $name) {
        my $bin = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';

        ($name) = `$bin -v 2>&1` =~ m{(\w+/\S+)};
    }

    return join "\r\n", '<html>', "<head><title>$line</title></head>",
        '<body>', "<center><h1>$line</h1></center>",
        "<hr><center>$name</center>", '</body>', '</html>', '';
}

# what is expected of both shapes, and what has come

sub common {
    my ($r, $status, %o) = @_;
    my $h = $r->{headers};

    return [ $status, $o{hits} || 0, 'application/json', length $r->{body},
             'no-store' ],
           [ $r->{status}, seen(), @$h{qw/content-type content-length
             cache-control/} ];
}

sub shaped {
    my ($name, $r, $status, $id, %o) = @_;
    my $body = '{"jsonrpc":"2.0",' . (defined $id ? "\"id\":$id," : '')
        . "\"error\":{\"code\":$status,\"message\":\"$title{$status}\","
        . "\"data\":{\"reason\":\"HTTP_$status\"}}}";
    my $got = $r->{body};

    # what was permitted has a record, which is named

    my $judged = $got =~ s/,"requestId":"[0-9a-f]{32}"//;
    my ($want, $have) = common($r, $status, %o);

    is_deeply([ @$have, $got, $judged ? 1 : 0 ],
              [ @$want, $body, defined $id || $o{judged} ? 1 : 0 ], $name)
        or diag(substr $r->{raw}, 0, 1000);
}

sub sdk_shaped {
    my ($name, $r, $status, $mcp, $action, %o) = @_;
    my $j = $r->{json};
    my ($want, $have) = common($r, $status, %o);

    is_deeply([ @$have, ref $j ? (
                  $j->{success} ? 1 : 0, @$j{qw/message error error_code
                  mcp action/}, length $j->{request_id}) : () ],
              [ @$want, 0, $title{$status}, "HTTP_$status", "HTTP_$status",
                $mcp || '', $action || '', $mcp ? 32 : 0 ], $name)
        or diag(substr $r->{raw}, 0, 1000);
}

sub invoke {
    my ($action, $mcp, $path) = @_;

    return send_body(json_text({
        mcp => $mcp, action => $action, params => {}, plan => $plan,
        token => $issued->{token},
    }), $json . $xkey, path => $path || '/invoke');
}

# the answers to a request and to a call behind it on the same connection

sub keepalive {
    my ($request) = @_;
    my $raw = http_raw($t->port(0), $request
        . "POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n$json$token"
        . 'Content-Length: ' . length($list) . "\r\n\r\n$list");

    return map { http_parse($_) } split m{(?=HTTP/1\.1 \d)}, $raw;
}
