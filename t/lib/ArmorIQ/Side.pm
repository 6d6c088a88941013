package ArmorIQ::Side;

# What t/off.t shows to two nginx: a configuration with as much of nginx in it
# as there is, files, and the answers of an upstream.

use strict;
use warnings;

use Exporter 'import';
use Time::HiRes qw/sleep/;

use ArmorIQ;

our @EXPORT = qw/side_http side_locations side_files side_answers gzipped/;


# Around the locations.  Ports: 0-3 locations (absent and off, HTTP/1 and
# HTTP/2), 4 files, 5 gRPC, 6 the upstream, 7 nobody.  [NAME] before a location:
# only if nginx has the module.

sub side_http { return <<'EOC' }
%%ARMORIQ%%
armoriq_origins http://agent.example.com;

log_format side '$http_x_row "$request" $status $body_bytes_sent $sent '
                '$request_length $upstream_status $upstream_response_length '
                '$upstream_bytes_sent $upstream_bytes_received $pipe '
                '$upstream_cache_status $connection_requests $remote_user '
                '$request_completion $uri';

# the time has not always the same length in HTTP/2
map $server_protocol $sent { default $bytes_sent; HTTP/2.0 -; }
map $arg_x $mapped { default no; ~^y yes; }

limit_req_zone $arg_n zone=lr:1m rate=1r/m;
proxy_cache_path %%DIR%%/cache keys_zone=c:1m;
proxy_cache_path %%DIR%%/slices keys_zone=sl:1m;
client_body_timeout 400ms;
lingering_timeout 300ms;

upstream u    { server %%IP%%:%%PORT6%%; }
upstream uk   { server %%IP%%:%%PORT6%%; keepalive 2; }
upstream dead { server %%IP%%:%%PORT7%% max_fails=0; }
upstream two  { server %%IP%%:%%PORT7%% max_fails=0;
                server %%IP%%:%%PORT6%% backup; }
upstream g    { server %%UPSTREAM%%; armoriq_guard; }

server { listen %%IP%%:%%PORT4%%; root %%DIR%%/html; }
server { listen %%IP%%:%%PORT5%% http2; location / {
         default_type application/grpc; return 200 "grpc $request_uri"; } }
EOC

sub side_locations { return <<'EOC' }
location /ai/ { alias %%DIR%%/html/; autoindex on; }
location /aij/ { alias %%DIR%%/html/; autoindex on; autoindex_format json; }
location /aix/ { alias %%DIR%%/html/; autoindex on; autoindex_format xml; }
location /r200 { return 200 "text $request_method $args\n"; }
location /r204 { return 204; }
location /r301 { return 301 /a.txt; }
location /r302 { return 302 http://example.com/$uri; }
location /r303 { return 303 /a.txt; }
location /r307 { absolute_redirect off; return 307 /a.txt; }
location /r308 { port_in_redirect off; return 308 /a.txt; }
location /r410 { return 410; }
location /r418 { return 418; }
location /r429 { return 429; }
location /r444 { return 444; }
location /r503 { server_tokens off; return 503; }
location /map { return 200 "$mapped $uri $args $is_args $host $scheme"; }
location /rw/ { rewrite ^/rw/(.*)$ /$1 last; }
location /rwb/ { rewrite ^/rwb/(.*)$ /$1 break; }
location /rwr/ { rewrite ^/rwr/(.*)$ /$1 redirect; }
location /rwp/ { rewrite ^/rwp/(.*)$ /$1 permanent; }
location /loop { rewrite ^ /loop last; }
location /if { if ($arg_x = 1) { return 403; } try_files /a.txt =404;
               if ($request_method = PUT) { add_header X-If 1 always; } }
location /re { location ~ \.(txt)$ { add_header X-Re $1; try_files /a.txt =404;
               } return 405; }
location /ep1 { error_page 404 /err.html; }
location /ep2 { error_page 404 405 = @named; }
location /ep3 { error_page 404 405 =200 /a.txt; }
location /ep4 { error_page 403 http://example.com/denied; deny all; }
location /ep5 { error_page 403 =301 http://example.com/denied; deny all; }
location /ep6 { error_page 502 504 = @named; proxy_pass http://dead; }
location /ep7 { error_page 401 404 500 /err.html; proxy_intercept_errors on;
                proxy_pass http://u; }
location /ep8 { error_page 404 = @again; recursive_error_pages on; }
location /ep9 { error_page 413 = @named; client_max_body_size 9;
                proxy_pass http://u; }
location @named { add_header X-Named 1 always;
                  return 200 "named $uri $request_method\n"; }
location @again { error_page 500 =202 /a.txt; return 500; }
location @proxy { proxy_pass http://u; }
location /tf1 { try_files $uri /none @named; }
location /tf2 { try_files /none =404; }
location /tf3 { try_files /none /a.txt; }
location /tf4 { try_files /none @proxy; }
location /ab { auth_basic "closed"; auth_basic_user_file %%DIR%%/htpasswd;
               try_files /a.txt =404; }
location /abp { auth_basic "closed"; auth_basic_user_file %%DIR%%/htpasswd;
                proxy_pass http://u; }
location /deny { deny all; }
location /allow { allow 127.0.0.1; deny all; try_files /a.txt =404; }
location /any { satisfy any; deny all; auth_basic "closed";
                auth_basic_user_file %%DIR%%/htpasswd; proxy_pass http://u; }
location /all { satisfy all; allow all; auth_basic "closed";
                auth_basic_user_file %%DIR%%/htpasswd; proxy_pass http://u; }
location /le { limit_except GET { deny all; } try_files /a.txt =404; }
location /lep { limit_except GET { auth_basic "closed";
                auth_basic_user_file %%DIR%%/htpasswd; } proxy_pass http://u; }
location /lr { limit_req zone=lr; try_files /a.txt =404; }
location /lr4 { limit_req zone=lr; limit_req_status 429; proxy_pass http://u; }
location /int { internal; }
location /xi/ { internal; alias %%DIR%%/html/; }
location /eg { empty_gif; }
location /ex { expires max; add_header X-A 1; add_trailer X-T 1;
               try_files /a.txt =404; }
location /cs { charset utf-8; override_charset on; proxy_pass http://u; }
location /et { etag off; if_modified_since before; max_ranges 1;
               try_files /big.txt =404; }
location /nr { max_ranges 0; try_files /big.txt =404; }
location /th { output_buffers 1 8k; sendfile on; aio threads;
               try_files /big.txt =404; }
location /kr { keepalive_timeout 10s 20s; keepalive_requests 2; return 200 k; }
location /kt { keepalive_timeout 0; return 200 k; }
location /nc { chunked_transfer_encoding off; proxy_http_version 1.1;
               proxy_pass http://u; }

location / { }
location /mcp { proxy_pass http://u; }
location /invoke { proxy_pass http://u; }
location /iap/ { proxy_pass http://u; }
location /health { proxy_pass http://u; }
location /.well-known/ { proxy_pass http://u; }
location /p/ { proxy_pass http://u; }
location /p11/ { proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_set_header Host $http_host; proxy_pass http://u;
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }
location /pk/ { proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_pass http://uk; }
location /pu/ { proxy_buffering off; proxy_http_version 1.1;
                proxy_pass http://u; }
location /pr/ { proxy_request_buffering off; proxy_http_version 1.1;
                proxy_pass http://u; }
location /pur/ { proxy_request_buffering off; proxy_buffering off;
                 proxy_http_version 1.1; proxy_pass http://u; }
location /pd/ { proxy_pass http://dead; }
location /pt/ { proxy_read_timeout 300ms; proxy_pass http://u; }
location /pn/ { proxy_next_upstream error timeout non_idempotent;
                proxy_pass http://two; }
location /ps/ { proxy_set_body "b=$request_body"; proxy_pass http://u; }
location /pm/ { proxy_method PUT; proxy_pass http://u; }
location /ph/ { proxy_hide_header X-A; proxy_pass_header Server;
                proxy_pass_header Date; proxy_ignore_headers X-Accel-Redirect
                X-Accel-Buffering; proxy_pass http://u; }
location /pc/ { proxy_redirect http://u/ /there/; proxy_pass http://u;
                proxy_cookie_domain example.com example.org;
                proxy_cookie_path / /c; }
location /pv/ { set $b u; proxy_pass http://$b; }
location /pl/ { proxy_pass http://u/other/; }
location /pb/ { proxy_buffers 2 4k; proxy_buffer_size 4k;
                proxy_busy_buffers_size 4k; proxy_pass http://u; }
location /m413 { client_max_body_size 9; proxy_pass http://u; }
location /bs { client_body_buffer_size 1k; proxy_pass http://u; }
location /bf { client_body_in_file_only clean; proxy_pass http://u;
               proxy_set_header X-File $request_body_file; }
location /b1 { client_body_in_single_buffer on; client_body_buffer_size 64k;
               proxy_set_header X-Body $request_body; proxy_pass http://u; }
location /ws { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
               proxy_set_header Connection upgrade; proxy_pass http://u; }
location /c/ { proxy_cache c; proxy_cache_valid any 1h; proxy_pass http://u;
               add_header X-Cache $upstream_cache_status always;
               proxy_cache_methods GET HEAD POST; proxy_cache_lock on; }
location /cb/ { proxy_cache c; proxy_cache_valid any 1h; proxy_pass http://u;
                proxy_cache_bypass $arg_x; proxy_no_cache $arg_x; }
[mirror] location /mi { mirror /_mi; proxy_pass http://u; }
[mirror] location /mo { mirror /_mo; mirror_request_body off; proxy_pass
    http://u; }
location = /_mi { internal; proxy_pass http://u/mirror$request_uri; }
location = /_mo { internal; proxy_set_header Content-Length "";
                  proxy_pass http://u/mirror$request_uri; }
location /pa { post_action /_pa; try_files /a.txt =404; }
location /pap { post_action /_pa; proxy_pass http://u; }
location = /_pa { internal; proxy_pass http://u/after; }
[ssi] location /ssi { ssi on; ssi_types *; try_files /ssi.html =404; }
[ssi] location /ssp { ssi on; ssi_types *; proxy_pass http://u; }
[sub] location /sub { sub_filter abc "[$uri]"; sub_filter_types *;
    sub_filter_once off; try_files /a.txt =404; }
[sub] location /sup { sub_filter answer ANSWER; sub_filter_types *; proxy_pass
    http://u; }
[addition] location /add { add_before_body /r200; add_after_body /p/add;
    addition_types *; try_files /a.txt =404; }
[addition] location /adp { add_before_body /a.txt; addition_types *; proxy_pass
    http://u; }
[gzip] location /gz { gzip on; gzip_types *; gzip_min_length 1; gzip_vary on;
    try_files /big.txt =404; }
[gzip] location /gp { gzip on; gzip_types *; gzip_min_length 1; gzip_proxied
    any; proxy_http_version 1.1; proxy_pass http://u; }
[gzip] location /gu { gzip on; gzip_types *; gzip_min_length 1; proxy_buffering
    off; proxy_pass http://u; }
[gunzip] location /un { gunzip on; proxy_pass http://u; }
[gzip_static] location /gs/ { gzip_static on; alias %%DIR%%/html/; }
[slice] location /sl/ { slice 1k; proxy_cache sl; proxy_cache_key
    $uri$slice_range; proxy_cache_valid any 1h; proxy_set_header Range
    $slice_range; proxy_http_version 1.1; proxy_pass http://%%IP%%:%%PORT4%%/;
    }
[auth_request] location /ar { auth_request /_ar; auth_request_set $a
    $upstream_http_x_a; add_header X-Auth $a always; proxy_pass http://u; }
[auth_request] location /art { auth_request /_ar; error_page 401 403 = @named;
    try_files /a.txt =404; }
location = /_ar { internal; proxy_pass http://u/ar?u=$arg_ar;
                  proxy_pass_request_body off;
                  proxy_set_header Content-Length ""; }
[fastcgi] location /fc { fastcgi_pass u; fastcgi_param REQUEST_METHOD
    $request_method; fastcgi_param CONTENT_LENGTH $content_length; }
[fastcgi] location /fb { fastcgi_pass %%IP%%:%%PORT4%%; }
[fastcgi] location /fd { fastcgi_pass dead; }
[scgi] location /sc { scgi_pass u; scgi_param CONTENT_LENGTH $content_length; }
[uwsgi] location /uw { uwsgi_pass u; uwsgi_param CONTENT_LENGTH
    $content_length; }
[memcached] location /mc { set $memcached_key $uri; memcached_pass u; }
[grpc] location /grpc { grpc_pass grpc://%%IP%%:%%PORT5%%; }
[grpc] location /grd { grpc_pass grpc://dead; }
[dav] location /dav/ { alias %%DIR%%/dav/; dav_methods PUT DELETE MKCOL COPY
    MOVE; create_full_put_path on; }
[flv] location /flv { flv; try_files /big.txt =404; }
[realip] location /ri { set_real_ip_from 127.0.0.0/8; proxy_pass http://u;
    proxy_set_header X-Real-IP $remote_addr; }
[secure_link] location /sec { secure_link $arg_md; secure_link_md5 k$uri; if
    ($secure_link = "") { return 403; } return 200; }
EOC


sub side_files {
    my ($t) = @_;
    my $d = $t->dir();
    my $line = join('', 'a' .. 'z') . "\n";

    mkdir "$d/$_" or die "$d/$_: $!"
        for qw{html html/dir html/none dav};

    $t->write('htpasswd', "user:{PLAIN}secret\n");
    $t->write("html/$$_[0]", $$_[1])
        for [ 'a.txt', $line x 4 ], [ 'big.txt', $line x 4000 ],
            [ 'index.html', "home\n" ], [ 'dir/index.html', "dir\n" ],
            [ 'none/x.txt', $line ], [ 'err.html', "an error\n" ],
            [ 'empty.txt', '' ], [ 'sp ace.txt', $line ],
            [ 'z.txt', $line ], [ 'z.txt.gz', gzipped() ],
            [ 'ssi.html', '<!--#set var="v" value="1" -->'
              . '[<!--#include virtual="/a.txt" -->]'
              . '[<!--#include virtual="/p/ssi" -->]'
              . '[<!--#include virtual="/r410" -->]'
              . '[<!--#include virtual="/pd/ssi" stub="s" -->]'
              . '<!--#if expr="$v = 1" -->if<!--#endif -->'
              . '<!--#echo var="request_method" -->' ];

    utime 1e9, 1e9, $_ for glob("$d/html/*"), glob("$d/html/*/*"), "$d/html";
    utime 1e9, 1e9, "$d/html/sp ace.txt";
}

# "answer\n", as gzip makes it

sub gzipped {
    return pack 'H*', '1f8b08000000000002034bcc2b2e4f2de202009e0f097907000000';
}


# what the upstream says to u=NAME

sub side_answers {
    my ($dir) = @_;
    my $json = '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"x",'
               . '"inputSchema":{"type":"object"}}],"nextCursor":"2"}}';

    my %a = (
        '' => full("answer\n", "Content-Type: text/plain", 'ETag: "e"',
                 'X-A: 1', 'Set-Cookie: a=1; path=/; domain=example.com',
                 'Set-Cookie: b=2', 'Server: mine', 'X-Powered-By: x',
                 'Date: Sun, 06 Nov 1994 08:49:37 GMT',
                 'Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT'),
        big => full('0123456789abcdef' x 20000, 'Content-Type: text/plain'),
        json => full($json, 'Content-Type: application/json',
                   'Mcp-Session-Id: s-1', 'MCP-Protocol-Version: 2025-11-25'),
        ssejson => full("event: message\nid: 1\ndata: $json\n\n",
                      'Content-Type: text/event-stream',
                      'Cache-Control: no-cache'),
        empty => full('', 'Content-Type: text/plain'),
        chunked => answer('200 OK', "5\r\nhello\r\n3;x=y\r\nyou\r\n0\r\n"
                          . "X-Trailer: 1\r\n\r\n", 'X-A: 1',
                          'Transfer-Encoding: chunked'),
        old => "HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nuntil the end",
        gzip => full(gzipped(), 'Content-Encoding: gzip',
                   'Content-Type: text/plain'),
        garbage => "garbage\r\n\r\n",
        badheader => full('x', "X-B\0d: 1"),
        hugeheader => full('x', 'X-Huge: ' . 'x' x 70000),
        hop => full('x', 'Connection: X-Hop', 'X-Hop: 1', 'Keep-Alive: 5',
                  'Proxy-Authenticate: Basic', 'Trailer: X', 'Upgrade: h2c'),
        s204 => answer('204 No Content', '', 'X-A: 1'),
        s206 => answer('206 Partial Content', 'abc', 'Content-Length: 3',
                       'Content-Range: bytes 0-2/9'),
        s304 => answer('304 Not Modified', '', 'ETag: "e"'),
        moved => answer('301 Moved', '', 'Content-Length: 0',
                        'Location: http://u/new', 'Refresh: 1; url=/'),
        xafile => full('no', 'X-Accel-Redirect: /xi/a.txt', 'X-A: 1',
                     'Content-Type: text/x-mine', 'Set-Cookie: a=1'),
        xanamed => full('no', 'X-Accel-Redirect: @named'),
        xaproxy => full('no', 'X-Accel-Redirect: /p/x?y=1'),
        xabad => full('no', 'X-Accel-Redirect: /../../x'),
        xa => full('x', 'X-Accel-Expires: 0', 'X-Accel-Charset: utf-8',
                 'X-Accel-Limit-Rate: 100000', 'Content-Type: text/plain',
                 'X-Accel-Buffering: yes', 'Cache-Control: private'),
        vary => full('x', 'Vary: X-Row', 'Cache-Control: max-age=60'),
        upgrade => \&tunnel,
        events => sub { events($dir, @_) },
        none => sub { 0 },
        hang => sub { sysread $_[0], my $x, 1; 0 },
    );

    # after these it goes away

    my %closed = (
        early => full('early', 'Connection: close'),
        short => answer('200 OK', 'short', 'Content-Length: 100'),
        interim => "HTTP/1.1 100 Continue\r\n\r\n" . full('x', 'X-A: 1'),
    );

    for my $name (keys %closed) {
        $a{$name} = sub { syswrite $_[0], $closed{$name}; 0 };
    }

    my $error = '{"jsonrpc":"2.0","id":1,"error":{"code":-32000}}';

    $a{"s$_"} = full("$_ Mine", $error, 'Content-Type: application/json',
                     'Retry-After: 3', 'WWW-Authenticate: Bearer x="y"',
                     'WWW-Authenticate: Basic realm=z')
        for 400, 401, 403, 404, 405, 413, 415, 429, 500, 502, 503, 504;

    return \%a;
}

sub answer {
    my ($status, $body, @headers) = @_;

    return join "\r\n", "HTTP/1.1 $status", @headers, '', $body;
}

# the first may be a status

sub full {
    my ($status) = $_[0] =~ /^\d{3} \w/ ? shift : '200 OK';
    my ($body, @headers) = @_;

    return answer($status, $body, @headers,
                  'Content-Length: ' . length $body);
}

# three events, each after the client has read the one before

sub events {
    my ($dir, $c, $request) = @_;
    my ($id) = $request =~ /^X-Row: (\d+)/mi;
    my $chunked = $request =~ m{ HTTP/1\.1\r};

    syswrite $c, answer('200 OK', '', 'Content-Type: text/event-stream',
                        $chunked ? 'Transfer-Encoding: chunked' : (),
                        $request =~ /xab=no/ ? 'X-Accel-Buffering: no' : ());

    for my $n (1 .. 3) {
        my $event = "id: $n\ndata: {\"event\":$n}\n\n";

        $event = sprintf "%x\r\n%s\r\n", length $event, $event if $chunked;

        syswrite $c, $event;

        for (1 .. 1000) {
            last if -e "$dir/go-$id-$n";
            sleep 0.005;
        }
    }

    syswrite $c, "0\r\n\r\n" if $chunked;

    return 0;
}

# echoes until it is told to end

sub tunnel {
    my ($c) = @_;
    my $buf = '';

    syswrite $c, answer('101 Switching Protocols', '', 'Upgrade: websocket',
                        'Connection: upgrade', 'Sec-WebSocket-Accept: x');

    until ($buf =~ /bye/) {
        sysread $c, $buf, 4096, length $buf or last;
        syswrite $c, "<$buf>";
    }

    return 0;
}

1;
