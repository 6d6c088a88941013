#!/usr/bin/perl

# Guards what does not concern the module: the same configuration is run by an
# nginx without it and by one in which it is active, and where "armoriq" is off
# (not written at all; written as "armoriq off;" below "armoriq on;") both must
# answer with the same bytes, send the same bytes upstream, and log the same.
# A filter or a phase handler that acts on other locations than its own, be it
# by one header, is red here.
#
# At the end the comparison is shown a location with "armoriq on;": if that
# were equal as well, nothing here would mean anything.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Raw;
use ArmorIQ::Side;


# "armoriq off;" in each location, and below one that is on

my ($http, $locations) = (side_http(), side_locations());
my $off = $locations;

$off =~ s/^((?:\[\w+\] )?location [^{]*\{)/$1 armoriq off;/gm;

my $on = <<'EOC';
location = /on { armoriq on; armoriq_mcp infra-mcp; proxy_pass http://g; }
location /nest { armoriq on; proxy_pass http://g;
                 location /nest/a { armoriq off; proxy_pass http://u; }
                 location /nest/b { armoriq off; try_files /a.txt =404; } }
EOC

my $common = "armoriq_lint off;\n"
             . "root %%DIR%%/html; access_log %%DIR%%/side.log side;\n"
             . "large_client_header_buffers 4 2k;\n$on";

$http .= "server { listen %%IP%%:%%PORT$_->[0]; $common $_->[1] }\n"
    for [ '0%%', $locations ], [ '1%% http2', $locations ],
        [ '2%%', "armoriq on; armoriq_limit rate=1r/h;\n$off" ],
        [ '3%% http2', "armoriq on; armoriq_limit rate=1r/h;\n$off" ];


# What was not built into this nginx is left out.

my $nginx = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
my $built = `"$nginx" -V 2>&1`;

my (@missing, %gone);

for my $m (qw/mirror ssi sub addition gzip gunzip gzip_static slice
              auth_request fastcgi scgi uwsgi memcached grpc dav flv realip
              secure_link/)
{
    my $by_default = $m =~ /^(?:mirror|ssi|gzip|fastcgi|scgi|uwsgi|memcached
                              |grpc)$/x;

    next if $by_default ? $built !~ /--without-http_${m}_module/
                        : $built =~ /--with-http_${m}_module(?!=)/;

    push @missing, $m;
    $gone{$1} = $m while $http =~ m{^\[$m\] location (\S+) }gm;
    $http =~ s/^\[$m\] .*\n(?:    .*\n)*//gm;
}

$http =~ s/^\[\w+\] //gm;
diag("skipped, not in this nginx: @missing") if @missing;


# The two sides: the same ports on two addresses.

my @hosts = qw/127.0.0.1 127.0.0.2/;
my @sides = map { ArmorIQ->new(ports => 8) } @hosts;

$sides[1]{ports} = $sides[0]{ports};

my $key = $sides[1]->init_store();

$sides[1]->upstream();
$sides[0]{upstream_port} = $sides[1]{upstream_port};

for my $i (0, 1) {
    my $t = $sides[$i];
    my $text = $http;

    side_files($t);

    push @{ $t->{pids} }, raw_upstream($hosts[$i], $t->port(6),
                                       $t->dir() . '/seen',
                                       side_answers($t->dir()));

    $text =~ s/%%IP%%/$hosts[$i]/g;

    if ($i == 0) {
        $text =~ s/%%ARMORIQ%%//g;
        $text =~ s/\barmoriq\w*[^;]*;//g;
    }

    $t->run($text, bare => $i == 0);
}

unlike($sides[0]->read('nginx.conf'), qr/armoriq_|armoriq o|load_module/,
       'one nginx without the module');
like($sides[1]->read('nginx.conf'), qr/armoriq off;/, 'one with it');


# What the client does with events: it lets the next one come.  Held events are
# those that nginx buffers; a mark then stands where it has waited for them.

sub read_events {
    my ($id, $held) = @_;
    my $mark = sub { $_[0]{in} .= '(waited)'; 1 };

    return map {
        my $n = $_;

        ($held ? (qr/\r\n\r\n/, \0.2, $mark) : qr/"event":$n\}/,
         sub { $sides[$_[1]]->write("go-$id-$n", ''); 1 });
    } 1 .. 3;
}


# The rows.  Each is asked in three versions of HTTP at two servers.

my ($asked, $id, @unequal, %cut) = (0, 100);

# o: method, headers, body, chunked (in HTTP/1.1), versions, times (each time
# is compared), events (1 or "held"), cut (where it is cut into chunks depends
# on time), early (it fails before there is a location, so it is asked only
# where "armoriq" is absent)

sub row {
    my ($name, $uri, %o) = @_;
    my ($path) = $uri =~ m{^(/[^/?]*/?)};

    return note("$name: skipped, no $gone{$path}") if $gone{$path};

    my @before = @unequal;

    for my $version (split ' ', $o{versions} || '1.0 1.1 2') {
        for my $server ($o{early} ? 0 : (0, 2)) {
            my $unique = ++$id;

            for (1 .. $o{times} || 1) {
                $id++;
                $cut{$id} = 1 if $o{cut};
                compare("$name, HTTP/$version, "
                        . ($server ? 'off' : 'absent'), $server,
                        $version eq '2' ? 1 : $o{cut} ? -1 : 0,
                        request($version, $uri =~ s/%N/$unique/gr, %o));
            }
        }
    }

    is(@unequal, @before, "$name: equal");
}

sub request {
    my ($version, $uri, %o) = @_;
    my ($body, $headers) = ($o{body}, $o{headers} || '');
    my $method = $o{method} || (defined $body ? 'POST' : 'GET');
    my @during = $o{events} ? read_events($id, $o{events} eq 'held') : ();

    $headers .= "X-Row: $id\r\n";

    if ($version eq '2') {
        my @headers = ([ ':method', $method ], [ ':path', $uri ],
                       [ ':scheme', 'http' ],
                       [ ':authority', 'www.example.com' ]);

        push @headers, [ lc $1, $2 ]
            while $headers =~ /^([^:\r\n]+):[ ]*(.*?)\r?$/mg;

        push @headers, [ 'content-length', length $body ]
            if defined $body && !$o{chunked};

        return h2_script(\@headers, $body, @during);
    }

    $headers .= "Connection: close\r\n"
        if $version eq '1.1' && $headers !~ /^Connection:/mi;

    if (defined $body && $o{chunked} && $version eq '1.1') {
        $headers .= "Transfer-Encoding: chunked\r\n";
        $body = join '', map({ sprintf "%x\r\n%s\r\n", length, $_ }
                             $body =~ /(.{1,4000})/gs), "0\r\n\r\n";

    } elsif (defined $body) {
        $headers .= 'Content-Length: ' . length($body) . "\r\n";
    }

    return ("$method $uri HTTP/$version\r\nHost: www.example.com\r\n"
            . "$headers\r\n" . (defined $body ? $body : ''), @during);
}

# bytes as they are, HTTP/1

sub raw {
    my ($name, $script, %o) = @_;
    my @before = @unequal;

    $name =~ s/\s+/ /g;
    $name =~ s/[^ -~]/?/g;

    for my $server ($o{early} ? 0 : (0, 2)) {
        compare("$name, " . ($server ? 'off' : 'absent'), $server, 0,
                ref $script ? @$script : $script);
    }

    is(@unequal, @before, "$name: equal");
}

# $h2: 1, 0, or -1 where the chunks of HTTP/1 are put together

sub compare {
    my ($name, $server, $h2, @script) = @_;
    my @in = answers_of($server, $h2, @script);

    $asked++;

    return if defined $in[0] && defined $in[1] && $in[0] eq $in[1];

    push @unequal, $name;
    diag("$name\n--- without the module\n"
         . excerpt($in[0]) . "\n--- with it\n" . excerpt($in[1]))
        if @unequal <= 10;
}

sub excerpt { defined $_[0] ? substr $_[0], 0, 1500 : 'no end' }

sub answers_of {
    my ($server, $h2, @script) = @_;

    my $port = $sides[0]->port($server + ($h2 > 0 ? 1 : 0));

    return map { plain($_) }
           map { defined $_ ? $h2 > 0 ? h2_text($_) : h1_text($_, $h2) : undef }
           dialog(\@hosts, $port, \@script, open => $h2 > 0);
}

# the two addresses and directories are the one difference

sub plain {
    my ($text) = @_;

    return if !defined $text;

    for my $i (0, 1) {
        my $d = $sides[$i]->dir();

        $text =~ s/\Q$d\E/(dir)/g;
        $text =~ s/\Q$hosts[$i]\E(?=:)/(host)/g;
    }

    return $text;
}


# files

my $ago = "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\n";
my $etag = 'If-None-Match: "3b9aca00-6c"' . "\r\n";

row('a file', '/a.txt');
row('a larger file', '/big.txt');
row('an empty file', '/empty.txt');
row('HEAD', '/big.txt', method => 'HEAD');
row('POST to a file', '/a.txt', body => 'a=1');
row('a method that is unknown', '/a.txt', method => 'FOO');
row('OPTIONS', '/a.txt', method => 'OPTIONS');
row('TRACE', '/a.txt', method => 'TRACE', early => 1);
row("$_ to a file", '/a.txt', method => $_) for qw/PUT DELETE PATCH/;
row('a preflight of CORS', '/a.txt', method => 'OPTIONS',
    headers => "Origin: http://agent.example.com\r\n"
               . "Access-Control-Request-Method: POST\r\n"
               . "Access-Control-Request-Headers: mcp-session-id\r\n");
row('an origin that is not allowed', '/a.txt',
    headers => "Origin: http://evil.example.com\r\n");
row('the index', '/');
row('index of a directory', '/dir/');
row('redirect to a directory', '/dir?x=1');
row('redirect, POST', '/dir', body => 'x');
row('a name with a space', '/sp%20ace.txt');
row('404', '/nothing');
row('404 with a body', '/nothing', body => 'x' x 5000);
row('404 for MSIE', '/nothing',
    headers => "User-Agent: Mozilla/4.0 (compatible; MSIE 6.0)\r\n");
row('403 without an index', '/none/');
row('a list of files', '/ai/');
row('a list in JSON', '/aij/none/');
row('a list in XML', '/aix/none/');
row('merged slashes, dots', '//dir//../a.txt');
row('404 above the root', '/dir/../../a.txt', early => 1);

row("range $_", '/a.txt', headers => "Range: bytes=$_\r\n")
    for qw/0-9 5- -7 0-0 200-300 9-5 x/;
row('ranges', '/big.txt', headers => "Range: bytes=0-9,20-29,-5\r\n",
    versions => '1.0 1.1');
row('a range that is conditional', '/a.txt',
    headers => "Range: bytes=0-9\r\nIf-Range: \"3b9aca00-6c\"\r\n");
row('a range of another file', '/a.txt',
    headers => "Range: bytes=0-9\r\nIf-Range: \"x\"\r\n");
row('not modified since', '/a.txt', headers => $ago);
row('modified since', '/a.txt',
    headers => "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
row('no match', '/a.txt', headers => $etag);
row('no match, HEAD', '/a.txt', headers => $etag, method => 'HEAD');
row('another match', '/a.txt', headers => "If-None-Match: \"x\"\r\n");
row('412', '/a.txt', headers => "If-Match: \"x\"\r\n");
row('no ETag', '/et', headers => "Range: bytes=0-1,4-5\r\n$etag");
row('no ranges', '/nr', headers => "Range: bytes=0-1\r\n");
row('threads', '/th');


# rewrite and what it returns

row("return $_", "/r$_") for qw/200 204 301 302 303 307 308 410 418 429 503/;
row("return $_, POST", "/r$_", body => 'a=1') for qw/200 204 301 307 410/;
row("return $_, HEAD", "/r$_", method => 'HEAD') for qw/200 301 410/;
row('return 444', '/r444');
row('map and variables', '/map?x=y&z=%20');
row('rewrite, last', '/rw/a.txt');
row('rewrite, break', '/rwb/a.txt');
row('rewrite, redirect', '/rwr/a.txt?q=1');
row('rewrite, permanent', '/rwp/a.txt');
row('a rewrite without end', '/loop');
row('if', '/if?x=1');
row('if not', '/if?x=2');
row('if, PUT', '/if', method => 'PUT', body => 'x');
row('a regex location', '/re/x.txt');
row('a nested one that does not match', '/re/x');
row("error_page $_", "/ep$_/x") for 1 .. 9;
row("error_page $_, POST", "/ep$_/x", body => 'x' x 20) for 1 .. 9;
row('an error of the upstream replaced', "/ep7/x?u=s$_")
    for qw/401 404 500 503/;
row("try_files $_", "/tf$_/x") for 1 .. 4;
row('try_files to the upstream, POST', '/tf4/x', body => 'x=1');


# access

my $auth = "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n";

for my $l (qw/ab abp any all lep/) {
    row("$l, nobody", "/$l", body => 'x');
    row("$l, a wrong password", "/$l", body => 'x',
        headers => "Authorization: Basic dXNlcjp4\r\n");
    row("$l, a bearer", "/$l", body => 'x',
        headers => "Authorization: Bearer abc\r\n");
    row("$l, the right one", "/$l", headers => $auth, body => 'x');
}

row($_, "/$_") for qw/deny allow le lep int xi\/a.txt _mi _pa _ar eg ex/;
row('limit_except, POST', '/le', body => 'x');
row('too many', '/lr?n=%N', times => 2);
row('too many, 429', '/lr4?n=%N', times => 2, body => 'x');


# the upstream, one way and another

my @names = qw/big json ssejson empty chunked old gzip short garbage badheader
               hugeheader hop s204 s206 s304 moved interim xafile xanamed
               xaproxy xabad xa vary none early s400 s401 s403 s404 s405 s413
               s415 s429 s500 s502 s503 s504/;

for my $l (qw/p p11 pu ph pb/) {
    row("$l: $_", "/$l/x?u=$_") for @names;
}

for my $l (qw/p p11 pu pr/) {
    row("$l: GET", "/$l/x%20y?a=%00&b=+");
    row("$l: HEAD", "/$l/x", method => 'HEAD');
    row("$l: $_", "/$l/x", method => $_) for qw/OPTIONS DELETE FOO/;
    row("$l: POST", "/$l/x", body => 'a=1');
    row("$l: POST, nothing in it", "/$l/x", body => '');
    row("$l: chunked", "/$l/x", body => 'x' x 3000, chunked => 1);
    row("$l: a large body", "/$l/x", body => '0123456789' x 5000,
        versions => $l eq 'pr' ? '1.0 1.1' : '1.0 1.1 2');
    row("$l: refused before it was read", "/$l/x?u=s403",
        body => '0123456789' x 500);
    row("$l: a range", "/$l/x", headers => "Range: bytes=2-4\r\n");
    row("$l: not modified", "/$l/x", headers => "If-None-Match: \"e\"\r\n");
}

row('events, unbuffered', '/pu/x?u=events', events => 1);
row('events, neither is buffered', '/pur/x?u=events', events => 1,
    body => '{"jsonrpc":"2.0","id":1,"method":"tools/call"}');
row('events, X-Accel-Buffering', '/p11/x?u=events&xab=no', events => 1,
    headers => "Accept: text/event-stream\r\n");
row('events of HTTP/1.0', '/p/x?u=events&xab=no', events => 1);
row('events, buffered', '/p11/x?u=events', events => 'held',
    versions => '1.0 1.1', headers => "Accept: text/event-stream\r\n");
row('events of an MCP server', '/mcp?u=events&xab=no', events => 1,
    headers => "Accept: text/event-stream\r\nMcp-Session-Id: s\r\n");
row('nobody there', '/pd/x');
row('nobody there, POST', '/pd/x', body => 'x');
row('no answer in time', '/pt/x?u=hang', body => 'x');
row('the next one', '/pn/x', body => 'x');
row('the next one does nothing', '/pn/x?u=none');
row('another body', '/ps/x', body => 'x');
row('another method', '/pm/x', body => 'x');
row('redirects and cookies', "/pc/x?u=$_") for '', 'moved';
row('a variable', '/pv/x', body => 'x');
row('another URI', '/pl/x?y', body => 'x');
row('no chunks', "/nc/x?u=$_") for '', 'chunked', 'old';
row('charset', "/cs/x?u=$_") for '', 'xa', 'json';
row('keepalive upstream', '/pk/x', times => 3, body => 'x');
row('keepalive upstream after an error', '/pk/x?u=s500', times => 2);
row('413', '/m413', body => 'x' x 10);
row('413, JSON', '/m413', body => '{"jsonrpc":"2.0","id":1,"method":"x"}',
    headers => "Content-Type: application/json\r\nAccept: application/json, "
               . "text/event-stream\r\n");
row('413, chunked', '/m413', body => 'x' x 10, chunked => 1);
row("a body in $_", "/$_", body => '0123456789' x 3000)
    for qw/bs b1 bf/;
row('a body in a file, chunked', '/bs', body => '0123456789' x 3000,
    chunked => 1);
row('X-Real-IP', '/ri', headers => "X-Real-IP: 192.0.2.7\r\n");
row('404 for a path that was taken', $_, body => '{}')
    for qw{/mcp /invoke /iap/sdk/token /health
           /.well-known/oauth-protected-resource};
row('GET of it', $_)
    for qw{/mcp /invoke /iap/sdk/token /health
           /.well-known/oauth-protected-resource};


# MCP where nobody judges it

my %rpc = (
    call => '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
            . '{"name":"x","arguments":{}}}',
    list => '{"jsonrpc":"2.0","id":"a","method":"tools/list"}',
    batch => '[{"jsonrpc":"2.0","id":1,"method":"tools/call"},{}]',
    note => '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    twice => '{"jsonrpc":"2.0","id":1,"id":2,"method":"a","method":"b"}',
    broken => '{"jsonrpc":"2.0","id":1,',
    latin => "{\"jsonrpc\":\"2.0\",\"x\":\"\xff\"}",
    invoke => '{"mcp":"infra-mcp","action":"x","params":{},"token":{}}',
);

my $mcp = join "\r\n", 'Content-Type: application/json',
    'Accept: application/json, text/event-stream',
    'Authorization: Bearer eyJhbGciOiJFZERTQSJ9.e30.c2ln',
    "X-API-Key: $key", 'X-ArmorIQ-Intent: abc', 'X-ArmorIQ-User-Email: a@b',
    'X-CSRG-Path: /steps/[0]/action', 'X-CSRG-Proof: []',
    'X-CSRG-Value-Digest: 00', 'X-HTTP-Method-Override: DELETE',
    'Proxy-Authorization: Basic eDp5', 'Mcp-Session-Id: s-1',
    'Mcp-Method: tools/list', 'Mcp-Name: y', 'Mcp-Param-X: 1',
    'MCP-Protocol-Version: 1999-01-01', 'Last-Event-ID: 7',
    'Origin: http://evil.example.com', '';

for my $path (qw{/mcp /invoke /p11/x /pr/x}) {
    row("MCP: $_ to $path", $path, body => $rpc{$_}, headers => $mcp)
        for sort keys %rpc;
    row("MCP: $_ from $path", "$path?u=$_", body => $rpc{list},
        headers => $mcp)
        for qw/json ssejson s400 s401 s403 s404 s405 s413 s429 s502/;
    row("MCP: $_ $path", $path, method => $_, headers => $mcp)
        for qw/GET DELETE OPTIONS/;
}

row('MCP: call, chunked', '/mcp', body => $rpc{call}, headers => $mcp,
    chunked => 1);
row('MCP: nobody there', '/pd/x', body => $rpc{call}, headers => $mcp);
row('MCP: no answer in time', '/pt/x?u=hang', body => $rpc{call},
    headers => $mcp);
row('MCP: encoded', '/mcp', body => gzipped(),
    headers => "${mcp}Content-Encoding: gzip\r\n");
row("below a location that is on: $_", $_, body => $rpc{call},
    headers => $mcp) for qw{/nest/a /nest/b};
row("below a location that is on: GET $_", $_) for qw{/nest/a /nest/b};


# filters, subrequests, cache

row('SSI', '/ssi');
row('SSI, POST', '/ssp', body => '<!--#echo var="uri" -->');
row('sub_filter', '/sub');
row("sub_filter of $_", "/sup?u=$_", cut => 1)
    for '', 'big', 'chunked', 'json';
row('addition', '/add');
row("addition to $_", "/adp?u=$_") for '', 'chunked', 's404';
row('slices', "/sl/$_", times => 2) for 'a.txt', 'big.txt?%N';
row('a slice', '/sl/big.txt', headers => "Range: bytes=1000-1099\r\n");

for my $encoding ('', "Accept-Encoding: gzip\r\n") {
    my $what = $encoding ? 'asked for' : 'not asked for';

    row("gzip $what", '/gz', headers => $encoding);
    row("gzip $what, HEAD", '/gz', headers => $encoding, method => 'HEAD');
    row("gzip $what, $_", "/gp?u=$_", headers => $encoding, cut => 1)
        for '', qw/big json ssejson chunked gzip s404/;
    row("gzip $what, events", '/gp?u=events&xab=no', events => 1)
        if !$encoding;
    row("gzip $what, unbuffered", '/gu?u=chunked', headers => $encoding);
    row("gunzip, $what", '/un?u=gzip', headers => $encoding);
    row("gzip_static, $what", '/gs/z.txt', headers => $encoding);
}

row('cache', '/c/x?%N', times => 3);
row("cache, $_", "/c/x?%N&u=$_", times => 2)
    for qw/vary xa s404 s500 big json moved none/;
row('cache, POST', '/c/x?%N', times => 2, body => $rpc{list});
row('cache, HEAD', '/c/x?%N', times => 2, method => 'HEAD');
row('cache, range', '/c/x?%N&u=big', times => 2,
    headers => "Range: bytes=5-9\r\n");
row('cache, not modified', '/c/x?%N', times => 2,
    headers => "If-None-Match: \"e\"\r\n");
row('cache, bypassed', "/cb/x?%N&x=$_", times => 2) for 0, 1;

row('mirror', '/mi', body => '0123456789' x 500);
row('mirror, GET', '/mi');
row('mirror without body', '/mo', body => 'x');
row('post_action', '/pa');
row('post_action of the upstream', '/pap', body => 'x');

for my $s ('', qw/s401 s403 s500 s204/) {
    row("auth_request $s", "/ar?ar=$s", body => 'x');
    row("auth_request $s of a file", "/art?ar=$s");
}

row("$_", "/$_", body => 'x' x 100)
    for qw/fc fb fd sc uw grpc grd/;
row("$_, GET", "/$_?x=1") for qw/fc sc uw mc grpc flv sec/;
row('flv', '/flv?start=50');
row('a link that is none', '/sec?md=abc');
row("dav: $$_[0]", "/dav/$$_[1]%N", method => $$_[0],
    defined $$_[2] ? (body => $$_[2]) : (), headers => $$_[3], times => 2)
    for [ 'PUT', 'a', 'x' x 2000 ], [ 'PUT', 'b/c', '' ], [ 'DELETE', 'z' ],
        [ 'MKCOL', 'd', undef ], [ 'COPY', 'a', undef, "Destination: /dav/"
        . "copy\r\n" ], [ 'MOVE', 'none', undef, "Destination: /x\r\n" ];


# connections and what is no request

my $host = "Host: www.example.com\r\n";
my $bye = "GET /a.txt HTTP/1.1\r\n${host}Connection: close\r\n\r\n";
my $post = "POST /p11/x HTTP/1.1\r\n$host";
my $te = "Transfer-Encoding: chunked\r\n\r\n";

raw('keepalive', [ "GET /a.txt HTTP/1.1\r\n$host\r\n", qr/xyz\n\z/, $bye ]);
raw('keepalive of HTTP/1.0', [ "GET /empty.txt HTTP/1.0\r\nConnection: "
    . "keep-alive\r\n\r\n", qr/\r\n\r\n/, "GET /a.txt HTTP/1.0\r\n\r\n" ]);
raw('keepalive has an end', "GET /kr HTTP/1.1\r\n$host\r\n" x 3);
raw('no keepalive', "GET /kt HTTP/1.1\r\n$host\r\n" x 2);
raw('keepalive after an error', "GET /nothing HTTP/1.1\r\n$host\r\n" . $bye);
raw('keepalive after 413', "POST /m413 HTTP/1.1\r\n${host}Content-Length: "
    . "20\r\n\r\n" . 'x' x 20 . $bye);
raw('keepalive after 502', "GET /pd/x HTTP/1.1\r\n$host\r\n" . $bye);
raw('keepalive, a body that nobody reads', "POST /r200 HTTP/1.1\r\n${host}"
    . "Content-Length: 20\r\n\r\n" . 'x' x 20 . $bye);
raw('pipelined', join '', map("GET /$_ HTTP/1.1\r\n$host\r\n", 'a.txt',
    'r301', 'p11/x?u=chunked', 'dir', 'mcp?u=json'), $bye);
raw('pipelined, with bodies', ("${post}Content-Length: 3\r\n\r\nabc"
    . $post . $te . "3\r\nabc\r\n0\r\n\r\n") x 2 . $bye);
raw('slow segments', [ map { ($_, \0.005) }
    "${post}Content-Length: 5\r\nConnection: close\r\n\r\nabcde" =~ /./gs ]);
raw('a body too slow', "${post}Content-Length: 5\r\n\r\na");
raw('100-continue', [ "${post}Expect: 100-continue\r\nContent-Length: 3\r\n"
    . "Connection: close\r\n\r\n", qr/ 100 Continue\r\n\r\n/, 'abc' ]);
raw('100-continue, unbuffered', [ "POST /pr/x HTTP/1.1\r\n${host}Expect: "
    . "100-continue\r\nConnection: close\r\n$te", qr/ 100 Continue\r\n\r\n/,
    "3\r\nabc\r\n0\r\n\r\n" ]);
raw('100-continue, 413', "POST /m413 HTTP/1.1\r\n${host}Expect: "
    . "100-continue\r\nConnection: close\r\nContent-Length: 30\r\n\r\n");
raw('100-continue, 401', "POST /abp HTTP/1.1\r\n${host}Expect: "
    . "100-continue\r\nConnection: close\r\nContent-Length: 3\r\n\r\n");
raw('chunks with extensions', "${post}Connection: close\r\n${te}3;a=b\r\nabc"
    . "\r\n0\r\nX-Trailer: 1\r\n\r\n");
raw("bad chunks: $_", $post . $te . $_ . "\r\n\r\n")
    for 'x', '3', "3\r\nabcd", "-1\r\n", 'ffffffffffffffff';
raw("bad chunks, unbuffered: $_", "POST /pr/x HTTP/1.1\r\n$host$te$_\r\n\r\n")
    for 'x', "3\r\nabcd";
raw('tunnel', [ "GET /ws?u=upgrade HTTP/1.1\r\n${host}Connection: Upgrade\r\n"
    . "Upgrade: websocket\r\n\r\n", qr/\r\n\r\n/, 'ab', qr/<ab>/, 'bye' ]);
raw('a tunnel that was refused', "GET /ws?u=s403 HTTP/1.1\r\n${host}"
    . "Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n");
raw('HTTP/0.9', "GET /a.txt\r\n", early => 1);
raw("400: $_", "$_\r\n\r\n", early => 1)
    for 'GET', 'GET /a.txt HTTP/3.0', 'GET /a.txt HTTP/1.1', 'x /a HTTP/1.1',
        'GET a.txt HTTP/1.1', "GET /%zz HTTP/1.1\r\n$host",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nHost: b",
        "GET /a.txt HTTP/1.1\r\nHost: a/b",
        "GET /a.txt HTTP/1.1\r\n${host}Content-Length: x",
        "GET /a.txt HTTP/1.1\r\n${host}Content-Length: 1\r\n"
        . 'Transfer-Encoding: chunked',
        "GET /a.txt HTTP/1.1\r\n${host}Transfer-Encoding: x",
        "GET /a.txt HTTP/1.1\r\n${host}X: \0",
        "GET http:///a.txt HTTP/1.1\r\n$host", 'PRI * HTTP/2.0', "\x16\x03\x01";
raw('headers that are ignored', "GET /p11/x HTTP/1.1\r\n${host}Connection: "
    . "close\r\nX_Y: 1\r\nX.Y: 2\r\nX-Z:\r\n\r\n");
raw('a header that is refused', "GET /p11/x HTTP/1.1\r\n${host}X-Y : 3\r\n"
    . "\r\n", early => 1);
raw('a header without a name', "GET /p11/x HTTP/1.1\r\n${host}: 3\r\n\r\n",
    early => 1);
raw('headers given twice', "${post}Connection: close\r\nX-A: 1\r\nX-A: 2\r\n"
    . "Cookie: a=1\r\nCookie: b=2\r\nX-Forwarded-For: 192.0.2.1\r\n"
    . "X-Forwarded-For: 192.0.2.2\r\nContent-Length: 0\r\n\r\n");
raw('a whole URI', "GET http://other.example.com/p11/x HTTP/1.1\r\n${host}"
    . "Connection: close\r\n\r\n");
raw('414', 'GET /' . 'x' x 3000 . " HTTP/1.1\r\n$host\r\n", early => 1);
raw('a header too large', "GET / HTTP/1.1\r\n${host}X: " . 'x' x 3000
    . "\r\n\r\n", early => 1);
raw('headers too large', "GET / HTTP/1.1\r\n$host"
    . join('', map "X-$_: " . 'x' x 1000 . "\r\n", 1 .. 12) . "\r\n",
    early => 1);

h2_raw("HTTP/2: $$_[0]", @$_[1 .. $#$_])
    for [ 'no path', [ ':method', 'GET' ], [ ':scheme', 'http' ] ],
        [ 'upper case', pseudo(), [ 'X-A', '1' ] ],
        [ 'connection', pseudo(), [ 'connection', 'close' ] ],
        [ 'a late pseudo header', pseudo(), [ 'a', 'b' ], [ ':path', '/' ] ],
        [ 'a header too large', pseudo(), [ 'x', 'x' x 9000 ] ],
        [ 'less than announced', pseudo('POST'), [ 'content-length', '9' ] ],
        [ 'more than announced', pseudo('POST'), [ 'content-length', '1' ] ];

sub pseudo {
    return ([ ':method', $_[0] || 'GET' ], [ ':path', '/p/x' ],
            [ ':scheme', 'http' ], [ ':authority', 'www.example.com' ]);
}

sub h2_raw {
    my ($name, @headers) = @_;
    my @before = @unequal;

    compare($name, 0, 1, h2_script(\@headers, $headers[0][1] eq 'POST' ? 'abc'
                                                                 : undef));
    is(@unequal, @before, "$name: equal");
}


# A request that is judged, or refused, leaves nothing to the next one of the
# same connection.

my $token = $sides[1]->issue_token(plan => {
    goal => 'off', steps => [ { action => 'x', mcp => 'infra-mcp',
                                max_uses => 1000 } ],
})->{jws};

my %second = ('a.txt' => '', 'mcp?u=json' => '', 'p11/x?u=ssejson' => '',
              'nothing' => '', 'dir' => '', 'r410' => '', 'pd/x' => '');

for my $auth ("X-A: 1\r\n", "Authorization: Bearer $token\r\n") {
    my $expected = $auth =~ /Bearer/ ? 200 : 401;

    for my $uri (sort keys %second) {
        my @in = answers_of(0, 0, "POST /on HTTP/1.1\r\n${host}Content-Type: "
            . "application/json\r\nAccept: application/json, text/event-stream"
            . "\r\n${auth}Content-Length: " . length($rpc{call})
            . "\r\n\r\n$rpc{call}", qr/\r\n\r\n\{.*\}/s,
            "GET /$uri HTTP/1.1\r\n${host}Connection: close\r\n\r\n");

        $asked++;
        $_ = '' for grep { !defined } @in;

        my ($status) = $in[1] =~ m{^HTTP/1\.1 (\d+)};
        my @rest = map { /\}(HTTP.*)/s ? $1 : '' } @in;

        is($status, $expected, "$expected before $uri");
        is($rest[1], $rest[0], "nothing is left for $uri");
        isnt($rest[1], '', "$uri was answered");
    }
}


# The same comparison of what is judged: here it must see a difference.

for my $h2 (0, 1) {
    my @in = answers_of(0, $h2, request($h2 ? '2' : '1.1', '/on',
                                          body => $rpc{call}));

    ok(defined $in[0] && defined $in[1] && $in[0] ne $in[1],
       'a location that is on differs, HTTP/' . ($h2 ? '2' : '1.1'));
}


# what else there is to see of it: what was sent upstream, and the logs

$_->stop() for @sides;

my (%seen, %log, %error);

for my $i (0, 1) {
    my $t = $sides[$i];

    # mirrors and others run beside each other

    $seen{$i} = join "\n", sort map { plain($_) } raw_seen($t->dir()
                                                           . '/seen');
    $log{$i} = join "\n", sort grep { !m{"POST /on }
                                 && !(/^(\d+) / && $cut{$1}) }
                          split /\n/, plain($t->read('side.log'));
    $error{$i} = join "\n", sort map { event($_) }
        grep { /\[(?:warn|error|crit|alert|emerg)\].*, client: /
               && !m{"POST /on } }
        split /\n/, plain($t->read('error.log'));
}

my $upstream = () = raw_seen($sides[0]->dir() . '/seen');

cmp_ok($upstream, '>', 1000, "$upstream requests were sent upstream");
same($seen{1}, $seen{0}, 'the upstream got the same bytes');
same($log{1}, $log{0}, 'the access log has the same lines');
same($error{1}, $error{0}, 'the error log has the same errors');

# An error without time and numbers, and without what nginx was at when the
# upstream went away, which may be one thing or the other.

sub event {
    my ($line) = @_;

    $line =~ s/^.*? \[/[/;
    $line =~ s/\d+#\d+: (\*\d+ )?//;
    $line =~ s/(prematurely closed connection) while [^,]+/$1/;

    return $line;
}

sub same {
    my ($got, $expected, $name) = @_;
    my ($n, %lines) = (0);

    return pass($name) if $got eq $expected;

    $lines{$_}++ for split /\n/, $got;
    $lines{$_}-- for split /\n/, $expected;

    fail($name);
    diag(($lines{$_} > 0 ? '+' : '-') . substr $_, 0, 400)
        for grep { $lines{$_} && $n++ < 20 } sort keys %lines;
}

is(scalar @unequal, 0, "$asked requests, all answers byte-equal");

$sides[0]->finish();
$sides[1]->done_testing();
