#!/usr/bin/perl

# Guards the walls: that an MCP server is reached by a permitted call, once,
# and by nothing else, whatever road of nginx.conf leads to it: subrequests,
# redirects, error pages, "satisfy any", other locations of the same upstream,
# other bodies than the one that was judged.  A road that answers 200 here, or
# adds one to the counters behind it, is a way around the decision.
#
# At the end the same roads are driven with all directives of the module taken
# out: a road that does not lead to the server then would prove nothing.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::HTTP2;
use ArmorIQ::Roads;


my @logs = qw/second drop grpc fcgi bare/;

my (%sent, @roads);

# the counting server has the first port of "server", nginx the others

my $servers = <<'EOF';
upstream g   { server %%UPSTREAM%%; armoriq_guard; }
upstream k1  { armoriq_guard; server %%UPSTREAM%%; keepalive 4; }
upstream k2  { server %%UPSTREAM%%; keepalive 4; armoriq_guard; }
upstream z   { zone z 64k; server %%UPSTREAM%%; server 127.0.0.1:%%PORT2%%;
               least_conn; armoriq_guard; keepalive 4; }
upstream l   { armoriq_guard; server %%UPSTREAM%%;
               server 127.0.0.1:%%PORT2%%; least_conn; }
upstream h   { server %%UPSTREAM%%; server 127.0.0.1:%%PORT2%%;
               hash $uri consistent; armoriq_guard; }
upstream r   { armoriq_guard; random two; server %%UPSTREAM%%;
               server 127.0.0.1:%%PORT2%%; }
upstream i   { armoriq_guard; ip_hash; server %%UPSTREAM%%;
               server 127.0.0.1:%%PORT2%%; }
upstream n   { armoriq_guard; server 127.0.0.1:%%PORT3%% max_fails=0;
               server %%UPSTREAM%% backup; keepalive 4; }
upstream d   { server 127.0.0.1:%%PORT3%% max_fails=0; armoriq_guard; }
upstream gr  { server 127.0.0.1:%%PORT4%%; armoriq_guard; }
upstream fc  { server 127.0.0.1:%%PORT5%%; armoriq_guard; }
upstream bare { server 127.0.0.1:%%PORT6%%; }
upstream open { server 127.0.0.1:%%PORT7%%; }

server { listen 127.0.0.1:%%PORT2%%; access_log %%DIR%%/second.log;
         location / { return 200 "{}"; } }
server { listen 127.0.0.1:%%PORT3%%; access_log %%DIR%%/drop.log;
         location / { return 444; } }
server { listen 127.0.0.1:%%PORT4%% http2; access_log %%DIR%%/grpc.log;
         location / { return 200 "{}"; } }
server { listen 127.0.0.1:%%PORT5%%; access_log %%DIR%%/fcgi.log;
         location / { return 200 "{}"; } }
server { listen 127.0.0.1:%%PORT6%%; access_log %%DIR%%/bare.log;
         location / { return 200 "{}"; }
         location /slice { add_header Content-Range $range always;
                           return 206 "abcd"; } }
server { listen 127.0.0.1:%%PORT7%%;
         add_header X-Accel-Redirect $arg_x;
         location / { return 200 "open"; } }
EOF

my $locations = <<'EOF';
location /mcp  { armoriq on; proxy_pass http://g; }
location /MCP  { proxy_pass http://g; }
location = /ex { armoriq on; proxy_pass http://g; }
location /e    { proxy_pass http://g; }
location /unbg { proxy_request_buffering off; proxy_pass http://g; }
location /var  { set $b g; proxy_pass http://$b; }
location @fb   { proxy_pass http://g; }
location @prot { armoriq on; proxy_pass http://g; }
location /open { proxy_pass http://open; }

location /ssi/ { root %%DIR%%; ssi on; }
location /ssa  { armoriq on; ssi on; ssi_types *; proxy_pass http://g; }
location /ar1  { auth_request /mcp/ar; proxy_pass http://open; }
location /ar2  { auth_request /MCP/ar; proxy_pass http://open; }
location /ar3  { armoriq on; auth_request /aro; proxy_pass http://g; }
location /ar4  { armoriq on; auth_request /MCP/ar; proxy_pass http://g; }
location /aro  { proxy_pass http://open; proxy_pass_request_body off;
                 proxy_set_header Content-Length ""; }
location /add1 { add_before_body /mcp/b; addition_types *;
                 proxy_pass http://open; }
location /add2 { add_after_body /MCP/a; addition_types *;
                 proxy_pass http://open; }
location /add3 { armoriq on; add_before_body /mcp/b; add_after_body /MCP/a;
                 addition_types *; proxy_pass http://g; }
location /mi1  { mirror /mcp/m; proxy_pass http://open; }
location /mi2  { mirror /MCP/m; proxy_pass http://open; }
location /mo1  { armoriq on; mirror /MCP/mo; proxy_pass http://g; }
location /mo2  { armoriq on; mirror /mcp/mo; proxy_pass http://g; }
location /sl   { armoriq on; slice 4; proxy_set_header Range $slice_range;
                 proxy_http_version 1.1; proxy_pass http://g; }

location /sat1 { satisfy any; allow all; armoriq on; proxy_pass http://g; }
location /sat2 { satisfy any; deny all; armoriq on; proxy_pass http://g; }
location /ep1  { armoriq on; error_page 400 401 403 409 502 413 = @fb;
                 proxy_pass http://g; }
location /ep2  { armoriq on; error_page 400 401 403 409 502 413 /MCP/ep;
                 proxy_pass http://g; }
location /ep3  { deny all; error_page 403 = @fb; proxy_pass http://g; }
location /ep4  { root %%DIR%%; error_page 404 405 =200 /mcp/ep4; }
location /ep5  { error_page 403 500 502 = @fb; proxy_pass http://g; }
location /ep6  { armoriq on; error_page 502 = @fb; proxy_pass http://d; }
location /ep7  { armoriq on; error_page 502 = @prot; proxy_pass http://d; }
location /ep8  { armoriq on; error_page 400 413 = @prot;
                 client_max_body_size 9; proxy_pass http://g; }
location /ep9  { armoriq on; error_page 400 413 = @fb; client_max_body_size 9;
                 proxy_pass http://g; }
location /ep10 { armoriq on; proxy_intercept_errors on; error_page 404 = @fb;
                 proxy_pass http://g; }

location /tf1  { armoriq on; try_files /none @fb; }
location /tf2  { try_files /none @prot; }
location /tf3  { try_files /none /MCP/tf; }
location /tf4  { armoriq on; try_files /none /mcp/tf; }
location /rw1  { rewrite ^ /mcp/rw last; }
location /rw2  { armoriq on; rewrite ^ /MCP/rw last; }
location /rw3  { armoriq on; rewrite ^ /x break; proxy_pass http://g; }
location /if1  { armoriq on; if ($arg_i) { proxy_pass http://g; }
                 proxy_pass http://g; }
location /if2  { if ($arg_i) { proxy_pass http://g; } proxy_pass http://open; }
location /le   { armoriq on; limit_except GET { proxy_pass http://g; }
                 proxy_pass http://g; }
location /xo   { proxy_pass http://open; }
location /xg   { armoriq on; proxy_pass http://g; }
location /pa1  { post_action /MCP/pa; proxy_pass http://open; }
location /pa2  { armoriq on; post_action /MCP/pa; proxy_pass http://g; }
location /pa3  { armoriq on; post_action /mcp/pa; proxy_pass http://g; }

location /setb { armoriq on; proxy_set_body '{"x":1}'; proxy_pass http://g; }
location /nob  { armoriq on; proxy_pass_request_body off;
                 proxy_set_header Content-Length ""; proxy_pass http://g; }
location /unb  { armoriq on; proxy_request_buffering off;
                 proxy_pass http://g; }
location /file { armoriq on; client_body_in_file_only clean;
                 proxy_pass http://g; }
location /big  { armoriq on; armoriq_max_body 4m; client_body_buffer_size 8k;
                 proxy_pass http://g; }
location /BIG  { client_body_buffer_size 8k; proxy_pass http://g; }

location /gr/  { armoriq on; grpc_pass grpc://gr; }
location /GR/  { grpc_pass grpc://gr; }
location /fc/  { armoriq on; fastcgi_pass fc; }
location /FC/  { fastcgi_pass fc; }
location /SC/  { scgi_pass fc; }
location /UW/  { uwsgi_pass fc; }
location /n/   { armoriq on; proxy_next_upstream error non_idempotent;
                 proxy_pass http://n; }
location /N/   { proxy_next_upstream error non_idempotent http_403;
                 proxy_pass http://n; }
location /C/   { proxy_cache c; proxy_cache_valid any 1m; proxy_cache_lock on;
                 proxy_cache_methods GET POST; proxy_pass http://g; }

location /w    { armoriq on; proxy_pass http://bare; }
location /wsat { satisfy any; allow all; armoriq on; proxy_pass http://bare; }
location /war  { auth_request /w/ar; proxy_pass http://open; }
location /wadd { add_after_body /w/a; addition_types *;
                 proxy_pass http://open; }
location /wmi  { mirror /w/m; proxy_pass http://open; }
location /wep  { armoriq on; error_page 401 403 409 = @w;
                 proxy_pass http://bare; }
location @w    { proxy_pass http://bare; }
location /wxg  { armoriq on; proxy_pass http://g; }
location /slice { armoriq on; slice 4; proxy_set_header Range $slice_range;
                 proxy_http_version 1.1; proxy_pass http://bare; }
EOF

my @balancers = qw/k1 k2 z l h r i/;

$locations .= "location /$_/ { armoriq on; proxy_pass http://$_;"
              . ' proxy_http_version 1.1; proxy_set_header Connection ""; }'
              . "\nlocation /" . uc($_) . "/ { proxy_pass http://$_; }\n"
    for @balancers;

($locations, my @names) = with_servers($locations);

my $t = ArmorIQ->new(ports => 8);

$t->init_store(mcps => \@names);
$t->upstream(answer => answering());

mkdir $t->dir() . '/ssi';
$t->write('ssi/mcp.html', '[<!--#include virtual="/mcp/ssi" -->]');
$t->write('ssi/MCP.html', '[<!--#include virtual="/MCP/ssi" -->]');
$t->write('ssi/set.html', '<!--#include virtual="/MCP/s" set="v" -->'
                          . '[<!--#echo var="v" default="-" -->]');
$t->write('ssi/w.html', '[<!--#include virtual="/w/ssi" -->]');

# "nginx -t" would refuse many of these: what it would not see must not lead to
# the server either

my $http = <<"EOF";
%%ARMORIQ%%
armoriq_lint warn;
proxy_cache_path %%DIR%%/cache keys_zone=c:1m;
client_max_body_size 8m;
proxy_read_timeout 8s;
map \$http_range \$range { default "bytes 0-3/8"; ~4-7 "bytes 4-7/8"; }
$servers
server { listen 127.0.0.1:%%PORT0%%; $locations }
server { listen 127.0.0.1:%%PORT1%% http2; $locations }
EOF

$t->run($http);

my $jws = token_for($t, 'walls', @names);


# What each road is worth: to somebody without a token, to a token whose plan
# has no such call, and to a permitted call.  "twice": without the walls a
# permitted call gets there more than once.

my $call = call('call');
my $evil = call('evil');

use constant {
    BYPASS => [ 403, 'ENFORCEMENT_BYPASS', 0 ],
    NOBODY => [ 401, 'IDENTITY_MISSING', 0 ],
    UNPLANNED => [ 409, 'STEP_NOT_PLANNED', 0 ],
    ONCE => [ 200, '', 1 ],
    OPEN => [ 200, '', 0 ],
};

sub walled  { road(@_, nobody => NOBODY, evil => UNPLANNED, good => ONCE) }
sub guarded { road(@_, nobody => BYPASS, evil => BYPASS, good => BYPASS) }
sub aside   { road(@_, nobody => OPEN, evil => OPEN, good => OPEN) }

sub road {
    my ($name, $uri, @pairs) = @_;
    my (%o, %default);

    # what a row says itself comes first

    while (my ($k, $v) = splice @pairs, 0, 2) {
        $o{$k} = $v if !exists $o{$k};
    }

    push @roads, { name => $name, uri => $uri, %o };
}


# the straight one, other names of it, other methods

walled('the MCP location', '/mcp');
walled('exact location', '/ex');
walled($_, $_)
    for '//mcp', '/./mcp', '/x/../mcp', '/%6dcp', '/mcp2';
guarded('case variant /MCP', '/MCP');
guarded('/ex/ is not = /ex', '/ex/');
guarded('prefix /e', '/e2');
guarded("$_ /MCP", '/MCP', method => $_)
    for qw/GET HEAD PUT DELETE OPTIONS PATCH/;
guarded('no body /MCP', '/MCP', body => '');
guarded('proxy_pass with a variable', '/var');
guarded('unbuffered into the guard', '/unbg');

# subrequests

aside("SSI include: $_->[0]", "/ssi/$_->[1].html", method => 'GET')
    for [ 'into walls', 'mcp' ], [ 'into the guard', 'MCP' ],
        [ 'set= into the guard', 'set' ];
walled('SSI include in a permitted answer', '/ssa', twice => 1);

# the subrequest is refused with 403 and the answer of auth_request is HTML;
# without walls it waits for a body that it was not given, and times out

for ([ 'into walls', '/ar1' ], [ 'into the guard', '/ar2' ]) {
    my @no = ([ 403, '', 0 ]) x 3;

    guarded("auth_request: $_->[0]", $_->[1], nobody => $no[0],
            evil => $no[1], good => $no[2], only => 'GET',
            method => 'GET');
}

walled('auth_request beside walls', '/ar3');
walled('auth_request from walls into the guard', '/ar4',
       good => [ 403, 'HTTP_403', 0 ], shut => 'auth_request waits for a body');
aside('add_before_body into walls', '/add1');
aside('add_after_body into the guard', '/add2');
walled('add_before_body and add_after_body in walls', '/add3', twice => 1);
aside('mirror into walls', '/mi1', wait => 0.05);
aside('mirror into the guard', '/mi2', wait => 0.05);
walled('mirror out of walls into the guard', '/mo1', wait => 0.05,
       twice => 1);
walled('mirror out of walls into walls', '/mo2', wait => 0.05, twice => 1);

# slice wants a GET, which a token may send; it sends the second by itself

walled('slice in walls', '/sl', method => 'GET', twice => 1, cut => 1,
       evil => ONCE);

# access rules and error pages

walled('satisfy any, allow all', '/sat1');
walled('satisfy any, deny all', '/sat2', good => [ 403, 'HTTP_403', 0 ],
       shut => 'deny all');
walled('error_page = @fb', '/ep1');
walled('error_page /uri', '/ep2');
guarded('error_page 403 = @fb, by deny all', '/ep3');
road('error_page 404 405 =200 into walls', '/ep4',
     map { $_ => [ 400, 'BODY_UNEXPECTED', 0 ] } qw/nobody evil good/);
guarded('error_page around the guard', '/ep5');
walled('error_page 502 = @fb after a try', '/ep6',
       good => [ 403, 'ENFORCEMENT_BYPASS', 1 ], twice => 1);
walled('error_page 502 = @prot after a try', '/ep7',
       good => [ 403, 'ENFORCEMENT_BYPASS', 1 ], twice => 1);
walled('error_page 413 = @prot', '/ep8',
       evil => [ 400, undef, 0 ], good => [ 400, undef, 0 ]);
guarded('error_page 413 = @fb', '/ep9');
walled('error_page 404 of the server = @fb', '/ep10?status=404',
       good => [ 403, 'ENFORCEMENT_BYPASS', 1 ], twice => 1);

# redirects

walled('try_files @fb out of walls', '/tf1', good => BYPASS);
walled('try_files @prot into walls', '/tf2',
       evil => [ 409, undef, 0 ], good => [ 409, undef, 0 ]);
guarded('try_files /uri into the guard', '/tf3');
walled('try_files /uri from walls to walls', '/tf4', good => BYPASS);
walled('rewrite last into walls', '/rw1');
guarded('rewrite last out of walls', '/rw2');
walled('rewrite break in walls', '/rw3');
walled('if with proxy_pass in walls', '/if1?i=1');
guarded('if with proxy_pass to the guard', '/if2?i=1');
walled('limit_except with proxy_pass in walls', '/le');
road('X-Accel-Redirect into walls', '/xo?x=/mcp/x',
     map { $_ => [ 400, 'BODY_UNEXPECTED', 0 ] } qw/nobody evil good/);
guarded('X-Accel-Redirect into the guard', '/xo?x=/MCP/x');
guarded('X-Accel-Redirect to a named location', '/xo?x=@fb');
walled('X-Accel-Redirect from walls to walls', '/xg?x=/mcp/x', twice => 1,
       good => [ 403, 'ENFORCEMENT_BYPASS', 1 ]);
walled('X-Accel-Redirect from walls to the guard', '/xg?x=/MCP/x',
       twice => 1, good => [ 403, 'ENFORCEMENT_BYPASS', 1 ]);
walled('X-Accel-Redirect from walls to @fb', '/xg?x=@fb', twice => 1,
       good => [ 403, 'ENFORCEMENT_BYPASS', 1 ]);
walled('X-Accel-Redirect from walls to itself', '/xg?x=/xg/again',
       twice => 1, good => [ 403, 'ENFORCEMENT_BYPASS', 1 ]);
aside('post_action into the guard', '/pa1', wait => 0.05);
walled('post_action from walls into the guard', '/pa2', wait => 0.05,
       twice => 1);
walled('post_action from walls into walls', '/pa3', wait => 0.05,
       twice => 1);

# what is sent is what was judged

walled('proxy_set_body', '/setb', good => BYPASS);
walled('proxy_pass_request_body off', '/nob', good => BYPASS);
walled('proxy_request_buffering off', '/unb');
walled('a body in a file', '/file');

# other protocols, balancers, tries

walled('grpc_pass', '/gr/');
guarded('grpc_pass, guard', '/GR/');
walled('fastcgi_pass', '/fc/', good => [ 502, 'HTTP_502', 1 ]);
guarded('fastcgi_pass, guard', '/FC/');
guarded('scgi_pass, guard', '/SC/');
guarded('uwsgi_pass, guard', '/UW/');

for (@balancers) {
    walled("balancer $_", "/$_/");
    guarded("balancer $_, guard", '/' . uc($_) . '/');
}

walled('proxy_next_upstream: two tries, one permit', '/n/',
       good => [ 200, '', 2 ]);
guarded('proxy_next_upstream http_403, guard', '/N/');
guarded("proxy_cache, guard, $_", '/C/', once => 1) for 1 .. 2;

# the gate alone: nothing guards this server

walled('gate alone', '/w');
aside('gate alone: SSI include', '/ssi/w.html', method => 'GET');
guarded('gate alone: auth_request', '/war', method => 'GET',
        map { $_ => [ 403, '', 0 ] } qw/nobody evil good/);
aside('gate alone: add_after_body', '/wadd');
aside('gate alone: mirror', '/wmi', wait => 0.05);
walled('gate alone: satisfy any', '/wsat');
walled('gate alone: error_page', '/wep');
walled('gate alone: X-Accel-Redirect, spent', '/wxg?x=/w', twice => 1,
       good => [ 403, 'ENFORCEMENT_BYPASS', 1 ]);


# with walls

drive($_) for @roads;

chunked();
big_body();
pipelined();

my ($code, $out) = $t->audit_verify();

is($code, 0, 'the log is whole') or diag($out);

# each refusal has left a record, and each call that left has an OUTCOME

my %why;

$why{ $_->{reason} }++ for $t->audit_records('INTENT');

cmp_ok($why{ENFORCEMENT_BYPASS} || 0, '>', 100, 'bypasses are recorded');
cmp_ok($why{IDENTITY_MISSING} || 0, '>', 50, 'strangers are recorded');

my $refusals = scalar grep { $_->{verdict} eq 'PERMIT' }
    $t->audit_records('INTENT');

is(scalar(my @outcomes = $t->audit_records('OUTCOME')), $refusals,
   'as many OUTCOMEs as PERMITs');


# without

$t->stop();

s/armoriq(?:_\w+)?(?:\s[^;]*)?;//g for $http;
$http =~ s/%%ARMORIQ%%//;
$http =~ s/proxy_read_timeout 8s/proxy_read_timeout 300ms/;

$t->run($http, bare => 1);

my $real = 0;

bare($_) for @roads;

cmp_ok($real, '>', 80, "$real roads are real");

$t->done_testing();


sub call {
    my ($tool, $args) = @_;

    return json_text({ jsonrpc => '2.0', id => 1, method => 'tools/call',
                       params => { name => $tool,
                                   arguments => $args || {} } });
}

# how many requests reached a server behind the walls

sub count {
    my $n = $t->hit_count();

    $n += () = $t->read("$_.log") =~ /\n/g for @logs;

    return $n;
}

# waits for what is wanted, and a little for what is not

sub new_hits {
    my ($before, $want, $wait) = @_;

    for (1 .. 100) {
        last if count() - $before >= $want;
        sleep 0.01;
    }

    sleep(0.004 + ($wait || 0));

    return count() - $before;
}

sub drive {
    my ($road) = @_;

    for my $who (qw/nobody evil good/) {
        my $headers = "Content-Type: application/json\r\n"
            . ($who eq 'nobody' ? '' : "Authorization: Bearer $jws\r\n");
        my $body = $who eq 'evil' ? $evil : $call;

        for my $version (1, 2) {
            my $before = count();
            my $r = request($road, $headers, $body, $version);

            judge("$road->{name}, $who, h$version", $road, $road->{$who}, $r,
                  $before);
        }
    }
}

# only what a defect does is to do, not what it lets through

sub judge {
    my ($name, $road, $want, $r, $before) = @_;
    my ($status, $why, $hits) = @$want;

    # HEAD has no body

    $why = '' if ($road->{method} || '') eq 'HEAD';
    $why = $r->{why} if !defined $why;

    my $n = new_hits($before, $hits, $road->{wait});

    # the answer ends where the next part was refused, maybe at its start

    $r->{status} = $status if $road->{cut} && $r->{status} == 0;

    is("$r->{status} $r->{why}, $n hits", "$status $why, $hits hits", $name)
        or diag(substr $r->{body}, 0, 300);

    unlike($r->{body}, qr/<html/i, "$name: no HTML") if $why;
}

sub body_of {
    my ($road, $body) = @_;

    return ($road->{method} || '') =~ /^(?:GET|HEAD)$/ ? undef
         : defined $road->{body} ? $road->{body} : $body;
}

sub request {
    my ($road, $headers, $body, $version) = @_;
    my @request = ($road->{uri}, method => $road->{method} || 'POST',
                   body => body_of($road, $body), headers => $headers);

    return $version == 1 ? http_parse(http($t->port(0), @request))
                         : h2($t->port(1), @request);
}

# chunks in pieces, an error page behind a broken chunk

sub chunked {
    my $head = "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        . "Content-Type: application/json\r\nAuthorization: Bearer $jws\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n";
    my $half = int(length($call) / 2);
    my @parts = map { sprintf "%x\r\n%s\r\n", length, $_ }
        substr($call, 0, $half), substr($call, $half);

    for my $uri ('/mcp', '/unb') {
        my $before = count();
        my $r = http_parse(http_raw($t->port(0), sprintf($head, $uri),
                                    @parts, "0\r\n\r\n"));

        judge("chunked $uri", {}, ONCE, $r, $before);
        is($t->last_hit()->{body}, $call, "chunked $uri: the judged bytes");
        is($t->last_hit()->{headers}{'transfer-encoding'}, undef,
           "chunked $uri: sent with a length");
    }

    for my $uri ('/MCP', '/unbg') {
        my $before = count();
        my $r = http_parse(http_raw($t->port(0), sprintf($head, $uri),
                                    @parts, "0\r\n\r\n"));

        judge("chunked $uri", {}, BYPASS, $r, $before);
    }

    # what was read before the bad chunk must not be judged as the body

    my $before = count();
    my $r = http_parse(http_raw($t->port(0), sprintf($head, '/ep8'),
                                "5\r\n{\"a\":\r\nxx\r\n"));

    is($r->{status} . ' ' . new_hits($before, 0), '400 0',
       'error_page 400 = @prot behind a bad chunk');
}

sub big_body {
    my $text = call('call', { text => 'x' x 1048576 });
    my $headers = "Content-Type: application/json\r\n"
                  . "Authorization: Bearer $jws\r\n";

    for ([ '/big', $text, ONCE, 'a body in a temporary file' ],
         [ '/big', substr($text, 0, -1) . ']', [ 400, 'JSON_INVALID', 0 ],
           'its last byte is wrong' ],
         [ '/BIG', $text, BYPASS, 'the same into the guard' ],
         [ '/mcp', $text, [ 413, 'BODY_TOO_LARGE', 0 ], 'one too large' ])
    {
        my ($uri, $body, $want, $name) = @$_;
        my $before = count();
        my $r = http_parse(http($t->port(0), $uri, body => $body,
                                headers => $headers));

        judge($name, {}, $want, $r, $before);

        ok((($t->last_hit() || {})->{body} || '') eq $body,
           "$name: the judged bytes") if $want->[2];

        $before = count();
        $r = request({ uri => $uri }, $headers, $body, 2);
        judge("$name, h2", {}, $want, $r, $before);
    }
}

# one connection, and answers in their order

sub pipelined {
    for my $uri ('/mcp', '/MCP') {
        my $before = count();
        my $all = '';

        for ([ $uri, '' ], [ '/mcp', $jws ], [ $uri, '' ], [ '/mcp', $jws ],
             [ '/ex', '' ])
        {
            $all .= "POST $_->[0] HTTP/1.1\r\nHost: a\r\n"
                . ($_->[0] eq '/ex' ? "Connection: close\r\n" : '')
                . "Content-Type: application/json\r\n"
                . ($_->[1] ? "Authorization: Bearer $_->[1]\r\n" : '')
                . 'Content-Length: ' . length($call) . "\r\n\r\n$call";
        }

        my @got = http_raw($t->port(0), $all) =~ m{HTTP/1\.1 (\d+)}g;
        my $no = $uri eq '/mcp' ? 401 : 403;

        is("@got", "$no 200 $no 200 401", "pipelined $uri");
        is(new_hits($before, 2), 2, "pipelined $uri: two hits");
    }
}

# the same road in an nginx without the module

sub bare {
    my ($road) = @_;
    my $before = count();
    my $least = $road->{twice} ? 1 + $road->{good}[2] : 1;
    my $headers = "Content-Type: application/json\r\n";

    return if $road->{shut} || $road->{once} && $sent{ $road->{uri} }++;

    request($road, $headers, $call, 1);

    my $n = new_hits($before, $least, 0);

    ok($n >= $least, "without walls: $road->{name} ($n hits)") and $real++;
}
