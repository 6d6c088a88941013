#!/usr/bin/perl

# Guards the rows of the bypass matrix that are roads of nginx.conf: B1 to B21
# subrequests, error pages, redirects and other names of a location, B45, B46,
# B56 and B64 what a configuration makes of a body, an answer or a try.
# A row that answers what it should not, or that adds one to the counters
# behind the walls, is a way around the decision.
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
use ArmorIQ::Roads;


# ports: 0, 1 all roads; 2, 3 "merge_slashes off"; 4, 5 "armoriq on" in
# server{}; each over HTTP/1.1 and HTTP/2

my $upstreams = <<'EOF';
upstream g    { server %%UPSTREAM%%; armoriq_guard; }
upstream d    { server 127.0.0.1:%%PORT6%% max_fails=0; armoriq_guard; }
upstream n    { armoriq_guard; server 127.0.0.1:%%PORT6%% max_fails=0;
                server %%UPSTREAM%% backup; }
upstream bare { server 127.0.0.1:%%PORT7%%; }
upstream open { server 127.0.0.1:%%PORT8%%; }

server { listen 127.0.0.1:%%PORT6%%; access_log %%DIR%%/drop.log;
         location / { return 444; } }
server { listen 127.0.0.1:%%PORT7%%; access_log %%DIR%%/bare.log;
         location / { return 200 "{}"; } }
server { listen 127.0.0.1:%%PORT8%%;
         add_header X-Accel-Redirect $arg_x;
         location / { return 200 "open"; } }
EOF

my $locations = <<'EOF';
location /      { proxy_pass http://g; }
location /mcp   { armoriq on; proxy_pass http://g; }
location /MCP   { proxy_pass http://g; }
location = /ex  { armoriq on; proxy_pass http://g; }
location @fb    { proxy_pass http://g; }
location @prot  { armoriq on; proxy_pass http://g; }
location @bare  { proxy_pass http://bare; }
location /open  { proxy_pass http://open; }
location /opeg  { proxy_pass http://g; }
location /w     { armoriq on; proxy_pass http://bare; }

location /ssi/  { root %%DIR%%; ssi on; }
location /ssa   { armoriq on; ssi on; ssi_types *; proxy_pass http://g; }
location /ar1   { auth_request /mcp/ar; proxy_pass http://open; }
location /ar2   { auth_request /MCP/ar; proxy_pass http://open; }
location /ar3   { auth_request /w/ar; proxy_pass http://open; }
location /ar4   { armoriq on; auth_request /MCP/ar; proxy_pass http://g; }
location /add1  { add_before_body /mcp/b; addition_types *;
                  proxy_pass http://open; }
location /add2  { add_after_body /MCP/a; addition_types *;
                  proxy_pass http://open; }
location /add3  { armoriq on; add_before_body /mcp/b; add_after_body /MCP/a;
                  addition_types *; proxy_pass http://g; }
location /add4  { add_after_body /w/a; addition_types *;
                  proxy_pass http://open; }
location /mi1   { mirror /mcp/m; proxy_pass http://open; }
location /mi2   { mirror /MCP/m; proxy_pass http://open; }
location /mi3   { mirror /w/m; proxy_pass http://open; }
location /mo1   { armoriq on; mirror /mout; proxy_pass http://g; }
location /mo2   { armoriq on; mirror /MCP/mo; proxy_pass http://g; }
location /mo3   { armoriq on; mirror /mcp/mo; proxy_pass http://g; }
location /mout  { proxy_pass http://bare; }

location /sl    { armoriq on; slice 4; proxy_set_header Range $slice_range;
                  proxy_http_version 1.1; proxy_pass http://g; }
location /cb    { armoriq on; proxy_cache c; proxy_cache_methods POST;
                  proxy_cache_valid any 1s; proxy_cache_use_stale updating;
                  proxy_cache_background_update on; proxy_pass http://g; }

location /sat1  { satisfy any; allow all; armoriq on; proxy_pass http://g; }
location /sat2  { satisfy any; auth_basic x;
                  auth_basic_user_file %%DIR%%/users; armoriq on;
                  proxy_pass http://g; }
location /sat3  { satisfy any; deny all; armoriq on; proxy_pass http://g; }
location /sat4  { satisfy any; allow all; armoriq on;
                  proxy_pass http://bare; }
location /sat5  { satisfy any; auth_request /ok; armoriq on;
                  proxy_pass http://g; }
location /ok    { return 204; }

location /ep1   { armoriq on; error_page 400 401 403 405 409 413 415 502 = @fb;
                  proxy_pass http://g; }
location /ep2   { armoriq on; error_page 400 401 403 405 409 413 415 502 /MCP;
                  proxy_pass http://g; }
location /ep3   { deny all; error_page 403 = @fb; proxy_pass http://g; }
location /ep4   { error_page 403 500 502 = @fb; proxy_pass http://g; }
location /ep5   { armoriq on; error_page 401 403 405 409 415 = @bare;
                  proxy_pass http://bare; }
location /ep6   { armoriq on; error_page 502 504 = @fb; proxy_pass http://d; }
location /ep7   { armoriq on; error_page 502 504 = @prot;
                  proxy_pass http://d; }
location /ep8   { armoriq on; error_page 400 413 = @fb;
                  client_max_body_size 9; proxy_pass http://g; }
location /ep9   { armoriq on; proxy_intercept_errors on; error_page 404 = @fb;
                  proxy_pass http://g; }

location /tf1   { armoriq on; try_files /none @fb; }
location /tf2   { try_files /none @prot; }
location /tf3   { try_files /none /MCP/tf; }
location /tf4   { armoriq on; try_files /none /mcp/tf; }
location /xo    { proxy_pass http://open; }
location /xg    { armoriq on; proxy_pass http://g; }
location /rw1   { armoriq on; rewrite ^ /MCP/rw last; }
location /rw2   { armoriq on; rewrite ^ /x break; proxy_pass http://g; }
location /rw4   { rewrite ^ /mcp/rw last; }
location /if1   { armoriq on; if ($arg_i) { proxy_pass http://g; }
                  proxy_pass http://g; }
location /if2   { if ($arg_i) { proxy_pass http://g; }
                  proxy_pass http://open; }
location /le    { armoriq on; limit_except GET { proxy_pass http://g; }
                  proxy_pass http://g; }
location /nest  { armoriq on; proxy_pass http://g;
                  location /nest/in { proxy_pass http://bare; }
                  location ~ /re$ { proxy_pass http://bare; } }
location /pa1   { post_action /MCP/pa; proxy_pass http://open; }
location /pa2   { armoriq on; post_action /MCP/pa; proxy_pass http://g; }
location /pa3   { armoriq on; post_action /mcp/pa; proxy_pass http://g; }
location /pa4   { post_action /w/pa; proxy_pass http://open; }

location /var1  { set $b g; proxy_pass http://$b; }
location /var2  { proxy_pass http://$arg_up; }
location /var3  { armoriq on; proxy_pass http://$arg_up; }
location ~ ^/var4/(?<up>[^/]+) { armoriq on; proxy_pass http://$up; }

location /setb  { armoriq on; proxy_set_body '{"x":1}'; proxy_pass http://g; }
location /setc  { armoriq on; proxy_set_body $request_body;
                  proxy_pass http://g; }
location /nob   { armoriq on; proxy_pass_request_body off;
                  proxy_set_header Content-Length ""; proxy_pass http://g; }
location /SETB  { proxy_set_body '{"x":1}'; proxy_pass http://g; }
location /NOB   { proxy_pass_request_body off;
                  proxy_set_header Content-Length ""; proxy_pass http://g; }
location /PM    { proxy_method POST; proxy_pass http://g; }
location /cw    { armoriq on; proxy_cache c; proxy_cache_methods GET POST;
                  proxy_cache_valid any 1m; proxy_pass http://g; }
location /CW    { proxy_cache c; proxy_cache_methods GET POST;
                  proxy_cache_valid any 1m; proxy_cache_lock on;
                  proxy_pass http://g; }
location /n1    { armoriq on; proxy_next_upstream error non_idempotent;
                  proxy_pass http://n; }
location /n2    { armoriq on; proxy_pass http://n; }
location /N3    { proxy_next_upstream error non_idempotent http_403;
                  proxy_pass http://n; }
EOF

my $slashes = <<'EOF';
merge_slashes off;
location /     { proxy_pass http://g; }
location /mcp  { armoriq on; armoriq_mcp mcp-mcp; proxy_pass http://g; }
EOF

my $server = <<'EOF';
armoriq on;
location /     { proxy_pass http://bare; }
location /mcp  { armoriq_mcp mcp-mcp; proxy_pass http://g; }
location /off  { armoriq off; proxy_pass http://g; }
location ~ /re { proxy_pass http://bare; }
location = /x  { proxy_pass http://bare; }
EOF

($locations, my @names) = with_servers($locations);

push @names, 'mcp-inv';

$locations .= <<'EOF';
location = /invoke { armoriq on; armoriq_invoke on; }
location /inv   { armoriq on; armoriq_mcp mcp-inv stateless;
                  proxy_pass http://g; }
EOF

my $t = ArmorIQ->new(ports => 9);

my $key = $t->init_store(mcps => \@names);

$t->upstream(answer => answering(body => 1));

mkdir $t->dir() . '/ssi';
$t->write('users', "u:{PLAIN}p\n");
$t->write('ssi/mcp.html', '[<!--#include virtual="/mcp/ssi" -->]');
$t->write('ssi/MCP.html', '[<!--#include virtual="/MCP/ssi?x=1" '
                          . 'wait="yes" -->]');
$t->write('ssi/set.html', '<!--#include virtual="/MCP/s" set="v" -->'
                          . '[<!--#echo var="v" default="-" -->]');
$t->write('ssi/w.html', '[<!--#include virtual="/w/ssi" -->]');
$t->write('ssi/ex.html', '[<!--#include virtual="/ex" -->]'
                         . '[<!--#include file="/mcp" -->]');

my $lint = has_lint($t) ? 'armoriq_lint warn;' : '';

my $conf = <<"EOF";
%%ARMORIQ%%
$lint
proxy_cache_path %%DIR%%/cache keys_zone=c:1m;
client_max_body_size 8m;
proxy_read_timeout 8s;
$upstreams
server { listen 127.0.0.1:%%PORT0%%; $locations }
server { listen 127.0.0.1:%%PORT1%% http2; $locations }
server { listen 127.0.0.1:%%PORT2%%; $slashes }
server { listen 127.0.0.1:%%PORT3%% http2; $slashes }
server { listen 127.0.0.1:%%PORT4%%; $server }
server { listen 127.0.0.1:%%PORT5%% http2; $server }
EOF

$t->run($conf);

my $jws = token_for($t, 'roads', @names);

my $b = ArmorIQ::Bypass->new($t, 'bypass_roads', jws => $jws, key => $key,
                             logs => [ 'drop', 'bare' ]);

my $n;

# what a road is worth: without a token, with one that has no such step, and
# with a permitted call

my $bypass = [ 403, 'ENFORCEMENT_BYPASS', 0 ];
my $spent = [ 403, 'ENFORCEMENT_BYPASS', 1 ];
my $nobody = [ 401, 'IDENTITY_MISSING', 0 ];
my $evil = [ 409, 'STEP_NOT_PLANNED', 0 ];
my $elsewhere = [ 409, 'STEP_SERVER', 0 ];
my $once = [ 200, '', 1 ];
my $none = [ 200, '', 0 ];


# B1 to B6: subrequests

$n = 1;
aside("SSI include: $_->[0]", "/ssi/$_->[1].html", method => 'GET')
    for [ 'into walls', 'mcp' ], [ 'into the guard, wait', 'MCP' ],
        [ 'set= into the guard', 'set' ], [ 'into the gate alone', 'w' ],
        [ 'exact location, file=', 'ex' ];
walled('SSI include in a permitted answer', '/ssa');

$n = 2;

for my $who (qw/nobody good/) {
    $b->add($n, "auth_request: $_->[0], $who", [ 403, '', 0 ],
            uri => $_->[1], method => 'GET', leaves => 1, who => $who)
        for [ 'into walls', '/ar1' ], [ 'into the guard', '/ar2' ],
            [ 'into the gate alone', '/ar3' ];
}

walled('auth_request from walls into the guard', '/ar4',
       good => [ 403, '', 0 ]);

$n = 3;
aside('add_before_body into walls', '/add1');
aside('add_after_body into the guard', '/add2');
aside('add_after_body into the gate alone', '/add4');
walled('add_before_body and add_after_body in walls', '/add3');

$n = 4;
aside('mirror into walls', '/mi1', wait => 0.05);
aside('mirror into the guard', '/mi2', wait => 0.05);
aside('mirror into the gate alone', '/mi3', wait => 0.05);

$n = 5;
walled('mirror out of walls, refused', '/mo1', wait => 0.05,
       good => [ 200, '', 2 ], control => 1);
walled('mirror out of walls into the guard', '/mo2', wait => 0.05);
walled('mirror out of walls into walls', '/mo3', wait => 0.05);

# the first slice is a GET that a token may send, the second is nobody's

$n = 6;
$b->add($n, 'slice in walls', [ 200, '', 1 ], uri => '/sl',
        method => 'GET', leaves => 1, cut => 1);
$b->add($n, 'slice in walls, nobody', $nobody, uri => '/sl', method => 'GET',
        who => 'nobody');
$b->add($n, 'cache updated in the background', $none, uri => '/cb',
        wait => 0.05, leaves => 1, before => sub {
            my ($self) = @_;

            $self->send({ uri => '/cb' }, 1);
            sleep 2.1;
            $self->count();
        });


# B7 to B10: access rules and error pages

$n = 7;
walled('satisfy any, allow all', '/sat1');
walled('satisfy any, auth_basic', '/sat2', good => [ 401, '', 0 ]);
walled('satisfy any, auth_request', '/sat5');
$b->add($n, 'satisfy any, the password of auth_basic',
        [ 401, 'TOKEN_MALFORMED', 0 ], uri => '/sat2', only_headers =>
        "Content-Type: application/json\r\nAuthorization: Basic dTpw\r\n");
walled('satisfy any, deny all', '/sat3', good => [ 403, '', 0 ]);
walled('satisfy any, the gate alone', '/sat4');

$n = 8;
walled('error_page = @fb', '/ep1');
walled('error_page = @fb, the gate alone', '/ep5');
guarded('error_page 403 = @fb, by deny all', '/ep3');
guarded('error_page 403 500 502 around the guard', '/ep4');
guarded('error_page 413 = @fb', '/ep8');
$b->add($n, "error_page = \@fb, $_->[0]", [ @$_[1, 2], 0 ], uri => '/ep1',
        %{ $_->[3] })
    for [ 'by PUT', 405, 'METHOD_NOT_ALLOWED', { method => 'PUT' } ],
        [ 'by a batch', 400, 'BATCH_NOT_ALLOWED', { body => '[]' } ],
        [ 'by text/plain', 415, 'CONTENT_TYPE',
          { only_headers => "Content-Type: text/plain\r\n" } ];

$n = 9;
walled('error_page /uri, which becomes GET', '/ep2');
$b->add($n, 'error_page /uri, by PUT', [ 405, 'METHOD_NOT_ALLOWED', 0 ],
        uri => '/ep2', method => 'PUT');

$n = 10;
walled('error_page 502 = @retry', '/ep6', good => $spent);
walled('error_page 502 = @retry into walls', '/ep7', good => $spent);
walled('error_page 404 of the server = @retry', '/ep9?status=404',
       good => $spent);


# B11 to B16: redirects

$n = 11;
walled('try_files @fb out of walls', '/tf1', good => $bypass);
walled('try_files @prot into walls', '/tf2', evil => $evil,
       good => $elsewhere);
guarded('try_files /uri into the guard', '/tf3');
walled('try_files /uri from walls to walls', '/tf4', good => $bypass);

$n = 12;
$b->add($n, "X-Accel-Redirect into walls, $_", [ 400, 'BODY_UNEXPECTED', 0 ],
        uri => '/xo?x=/mcp/x', who => $_) for qw/nobody evil good/;
guarded('X-Accel-Redirect into the guard', '/xo?x=/MCP/x');
guarded('X-Accel-Redirect to a named location', '/xo?x=@fb');
walled("X-Accel-Redirect from walls $_->[0]", "/xg?x=$_->[1]", good => $spent)
    for [ 'to walls', '/mcp/x' ], [ 'to the guard', '/MCP/x' ],
        [ 'to a named location', '@fb' ], [ 'to itself', '/xg/again' ],
        [ 'to the gate alone', '/w/x' ];
$b->add($n, "X-Accel-Redirect behind /invoke $_->[0]", $spent,
        uri => '/invoke', skip_off => 1,
        only_headers => "Content-Type: application/json\r\n"
                        . "X-API-Key: $key\r\n",
        body => json_text({ mcp => 'mcp-inv', action => 'call',
                            params => { x => $_->[1] }, token => $jws }))
    for [ 'to the guard', '/MCP/x' ], [ 'to walls', '/mcp/x' ],
        [ 'to a named location', '@fb' ], [ 'to itself', '/invoke' ];

$n = 13;
guarded('rewrite last out of walls', '/rw1');
walled('rewrite break in walls', '/rw2');
walled('rewrite last into walls', '/rw4');

$n = 15;
walled('if with proxy_pass in walls', '/if1?i=1');
guarded('if with proxy_pass to the guard', '/if2?i=1');
walled('limit_except with proxy_pass in walls', '/le');
walled('a nested location', '/nest/in');
walled('a nested regex', '/nest/re');

$n = 16;
aside('post_action into the guard', '/pa1', wait => 0.05);
aside('post_action into the gate alone', '/pa4', wait => 0.05, leaves => 0);
walled('post_action from walls into the guard', '/pa2', wait => 0.05);
walled('post_action from walls into walls', '/pa3', wait => 0.05);


# B17 to B21: other names

$n = 17;
guarded($_, $_) for '/MCP', '/McP', '/ex/', '/EX', '/mCP/x', '/mc',
                    '/mc%D0%A0', '/%EF%BD%8Dcp', '/mc%70%20'
                    =~ s/mc%70/m%63x/r;
walled('prefix /mcp2 is the location itself', '/mcp2');
guarded("$_ /MCP", '/MCP', method => $_)
    for qw/GET HEAD PUT DELETE OPTIONS PATCH FOO/;

$n = 18;
walled($_, $_) for '//mcp', '/./mcp', '/open/../mcp', '/%6dcp',
                   '/x/..%2fmcp', '/mcp#frag', '/x/%2e%2e/mcp', '///mcp',
                   '/mcp/.', '/mcp?#', '/%2Fmcp', '/MCP/..%2Fmcp';
$b->add($n, 'above the root', [ 400, '', 0 ], uri => '/../mcp', nginx => 1);

$n = 19;
guarded($_, $_) for '/opeg/..;/mcp', '/\\..\\mcp', '/%256dcp', '/opeg%2f',
                    '/x\\mcp', '/.%252e/mcp', '/x%5c..%5cmcp';

$n = 20;
guarded("merge_slashes off: $_", $_, port => 2)
    for '//mcp', '/%2fmcp', '/x//../mcp//..//mcp', '///', '//';
walled("merge_slashes off: $_", $_, port => 2)
    for '/mcp//x', '/./mcp', '/x//..%2f../mcp';

$n = 21;
guarded('proxy_pass with a variable', '/var1');
guarded('proxy_pass with a host of the request', '/var2?up=g');
$b->add($n, "a chosen host in walls: $_->[0]", $_->[1], who => $_->[0],
        uri => '/var3?up=127.0.0.1:' . $t->port(7))
    for [ 'nobody', $nobody ], [ 'evil', $evil ];
$b->add($n, "a chosen host in a regex location: $_->[0]", $_->[1],
        who => $_->[0], uri => '/var4/127.0.0.1:' . $t->port(7))
    for [ 'nobody', $nobody ], [ 'evil', $evil ], [ 'good', $elsewhere ];


# B45 to B64: what is sent, what comes back

$n = 45;
walled('proxy_set_body', '/setb', good => $bypass);
walled('proxy_set_body $request_body', '/setc', good => $bypass);
walled('proxy_pass_request_body off', '/nob', good => $bypass);
guarded('proxy_set_body into the guard', '/SETB');
guarded('proxy_pass_request_body off into the guard', '/NOB');
guarded('proxy_method into the guard', '/PM', method => 'GET');

$n = 46;
$b->add($n, "a cache before the guard, $_", $bypass, uri => "/CW?$_",
        who => $_) for qw/nobody good/;
$b->add($n, "a permitted answer is in the cache: $_->[0]", $_->[1],
        uri => '/cw', who => $_->[0], skip_off => 1, before => sub {
            my ($self) = @_;

            $self->send({ uri => '/cw' }, 1);
            sleep 0.02;
            $self->count();
        }) for [ 'nobody', $nobody ], [ 'evil', $evil ];
$b->add($n, $_, $nobody, uri => '/mcp', method => 'GET', who => 'nobody',
        headers => "$_\r\n")
    for 'Range: bytes=0-1', 'If-None-Match: *',
        'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT';

$n = 56;
$b->add($n, 'non_idempotent: two tries, one permit', [ 200, '', 2 ],
        uri => '/n1', control => 1, check => attempts(2));
$b->add($n, 'by default a call is not sent twice', [ 502, '', 1 ],
        uri => '/n2', control => 1, check => attempts(1));
walled('non_idempotent', '/n1', good => undef);
guarded('http_403 and the guard', '/N3');

$n = 64;
walled("armoriq on in server{}: $_", $_, port => 4, good => $elsewhere)
    for '/new', '/re', '/x', '/';
walled('armoriq on in server{}: /mcp', '/mcp', port => 4);
guarded('armoriq off in one location', '/off', port => 4);
guarded('a location without it', '/plain');


$b->drive();
$b->finish($conf, 23);
$t->done_testing();


# in walls: each of the three has an answer of its own

sub walled {
    my ($name, $uri, %o) = @_;
    my %want = (nobody => $nobody, evil => $evil, good => $once,
                map { exists $o{$_} ? ($_ => $o{$_}) : () } qw/evil good/);

    delete @o{qw/good evil/};

    for my $who (qw/nobody evil good/) {
        my $want = $want{$who} or next;

        # a permitted call that drags nothing along shows that a road is there

        $b->add($n, "$name, $who", $want, uri => $uri, who => $who,
                control => $who eq 'good' && $want->[2] > 0
                           && $want != $spent
                           && $name !~ /SSI|add_|mirror|post_action/,
                %o);
    }
}

# nobody has judged it: the guard refuses whoever comes

sub guarded {
    my ($name, $uri, %o) = @_;

    $b->add($n, "$name, $_", $bypass, uri => $uri, who => $_, %o)
        for qw/nobody good/;
}

# the request itself is open, what it drags along is not

sub aside {
    my ($name, $uri, %o) = @_;

    $b->add($n, "$name, $_", $none, uri => $uri, who => $_, leaves => 1, %o)
        for qw/nobody good/;
}

# the last record says how often the call was sent

sub attempts {
    my ($want) = @_;

    return sub {
        my ($r, $name) = @_;
        my ($last, $permits);

        for (1 .. 100) {
            my @o = $t->audit_records('OUTCOME');

            $permits = grep { $_->{verdict} eq 'PERMIT' }
                       $t->audit_records('INTENT');
            $last = $o[-1];
            last if @o == $permits;
            sleep 0.02;
        }

        is($last->{attempts}, $want, "$name: the record says so");
    };
}
