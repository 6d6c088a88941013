#!/usr/bin/perl

# Guards what tools/list shows: a tool is in the answer if a call of it would
# be permitted, and only then; in JSON and in event streams, over HTTP/1.1 and
# HTTP/2, to an API key and to a token.  What stays, stays byte for byte; a
# list that cannot be read is not passed on.

use strict;
use warnings;

use FindBin;
use IO::Uncompress::Gunzip qw/gunzip/;
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::HTTP2;


my $t = ArmorIQ->new(ports => 2);

my @servers = qw/infra-mcp key-mcp off-mcp dry-mcp gz-mcp small-mcp
                 range-mcp none-mcp/;
my @tools = qw/infra.list infra.restart infra.scale alerts.list alerts.create
               db.query db.drop nobody/;

my $key = $t->init_store(mcps => \@servers);

# The upstream answers tools/list with what its cursor says: a type, a status,
# headers and a text; GET has it in the query.

my $plain = "Content-Type: application/json\r\n";
my $sse = "Content-Type: text/event-stream\r\n";
my $tools = join ',', map { json_text({ name => $_, inputSchema => {} }) }
    @tools;
my $big = '{"result":{"tools":[' . join(',', map {
    "{\"name\":\"db.$_\",\"d\":\"" . 'x' x 100 . '"},'
    . "{\"name\":\"infra.$_\",\"d\":\"" . 'y' x 100 . '"}' } 1 .. 3000)
    . ']}}';

$t->upstream(answer => \&answer);

sub answer {
    my ($req) = @_;
    my $rpc = ref $req->{json} eq 'HASH' ? $req->{json} : {};
    my $cursor = ref $rpc->{params} eq 'HASH' ? $rpc->{params}{cursor} : undef;

    $cursor = $1 if $req->{method} eq 'GET' && $req->{uri} =~ /\?(.*)/;

    return if !defined $cursor;

    my ($type, $status, $headers, $text) = split /,/, $cursor;

    $text = $type =~ s/^big// ? $big
        : defined $text ? pack 'H*', $text
        : '{"jsonrpc":"2.0","id":' . json_text($rpc->{id})
          . ",\"result\":{\"tools\":[$tools]}}";
    $text = "data: $text\n\n" if $type eq 'event';

    $type = $type eq 'json' ? $plain
        : $type eq 'html' ? "Content-Type: text/html\r\n" : $sse;

    return [ $status, $type . pack('H*', $headers || ''), $text ];
}

sub cursor {
    my ($type, $text, %o) = @_;

    return join ',', $type, $o{status} || 200, unpack('H*', $o{give} || ''),
        defined $text ? unpack 'H*', $text : ();
}

$t->run(<<'EOF');
%%ARMORIQ%%

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

armoriq on;

server {
    listen 127.0.0.1:%%PORT0%%;
    listen 127.0.0.1:%%PORT1%% http2;

    large_client_header_buffers 4 32k;

    location /iap   { armoriq off; armoriq_api on; }

    location /mcp   { armoriq_mcp infra-mcp; proxy_pass http://infra; }
    location /key   { armoriq_mcp key-mcp; proxy_pass http://infra;
                      armoriq_method tools/call identity; }
    location /off   { armoriq_mcp off-mcp; proxy_pass http://infra;
                      armoriq_list_filter off; }
    location /dry   { armoriq_mcp dry-mcp; proxy_pass http://infra;
                      armoriq_dry_run on; }
    location /gz    { armoriq_mcp gz-mcp; proxy_pass http://infra;
                      gzip on; gzip_types *; gzip_proxied any;
                      gzip_min_length 1; }
    location /small { armoriq_mcp small-mcp; proxy_pass http://infra;
                      armoriq_max_list 300; proxy_buffering off; }
    location /range { armoriq_mcp range-mcp; proxy_pass http://infra;
                      proxy_force_ranges on; }
    location /none  { armoriq_mcp none-mcp; proxy_pass http://infra;
                      armoriq_method tools/call off; }
}
EOF

# an answer of http_parse(); over => 2: HTTP/2

sub request {
    my ($text, %o) = @_;
    my $headers = ($o{headers} || '') . "Content-Type: application/json\r\n"
        . "Accept: application/json, text/event-stream\r\n"
        . 'Authorization: Bearer '
        . (defined $o{token} ? $o{token} : $key) . "\r\n";
    my $path = $o{path} || '/mcp';

    return h2($t->port(1), $path, body => $text, headers => $headers,
              method => $o{method})
        if ($o{over} || 1) == 2;

    return http_parse(http($t->port(0), $path, body => $text,
                           headers => $headers, method => $o{method}));
}

sub list {
    my ($type, $text, %o) = @_;

    return request('{"jsonrpc":"2.0","id":"a\u0062","method":"tools/list",'
        . '"params":{"cursor":"' . cursor($type, $text, %o) . '"'
        . ($o{modern} ? ',"_meta":{"io.modelcontextprotocol/protocolVersion"'
                        . ':"2026-07-28"}' : '') . '}}',
        headers => ($o{headers} || '') . ($o{modern}
            ? "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n"
            : ''),
        map { $_ => $o{$_} } qw/path token over/);
}

sub names { join ' ', map { $_->{name} } @{ $_[0]{json}{result}{tools} } }

my $base = 'infra.list infra.scale alerts.list alerts.create';


# what is seen can be called, and what can be called is seen

my $many = 100000;

sub token {
    my ($server, $user, $planned, %o) = @_;

    my $issued = $t->request_token(user => $user, seconds => 600, %o, plan =>
        { goal => 'list', steps => [ map { { action => $_, mcp => $server,
                                             max_uses => $many } }
                                     @$planned ] });

    return $issued->{jwt_token} || die 'no token: ' . json_text($issued);
}

my $all = token('infra-mcp', 'alice', \@tools);

my @callers = (
    [ 'a token, all planned', '/mcp', $all ],
    [ 'a token of another user', '/mcp',
      token('infra-mcp', 'bob', \@tools) ],
    [ 'a token, some planned', '/mcp',
      token('infra-mcp', 'alice',
            [ qw/infra.list infra.restart db.query/ ]) ],
    [ 'a token, all planned for another server', '/mcp',
      token('off-mcp', 'alice', \@tools) ],
    [ 'a token with a policy', '/key',
      token('key-mcp', 'bob', [ 'db.query' ],
            policy => { allow => [ '*' ], deny => [ 'db.drop' ],
                        allowed_tools => [ 'infra.scale', 'db.*' ] }) ],
    [ 'an API key', '/key', $key ],
    [ 'a token where a key would do', '/key',
      token('key-mcp', 'bob', [ 'infra.list' ]) ],
    [ 'no calls', '/none', token('none-mcp', 'alice', \@tools) ],
    [ 'no filter, all permitted', '/off',
      token('off-mcp', 'alice', \@tools) ],
);

# in force from now on: a token is not issued for what is denied

$t->ctl_ok('policy', 'remove', '--store', $t->store(), '--org', 'example',
           'test');

policy('infra', 1, allow => [ 'infra.*', 'alerts.*' ]);
policy('restart', 9, deny => [ '*.restart' ]);
policy('bob', 5, allow => [ 'db.*' ],
       target => { type => 'user', id => 'bob' });
policy('off', 10, allow => [ '*' ],
       target => { type => 'mcp', id => 'off-mcp' });
policy('dry', 9, deny => [ '*' ],
       target => { type => 'mcp', id => 'dry-mcp' });

sub policy {
    my ($name, $priority, %p) = @_;

    $t->add_policy({ name => $name, priority => $priority, allow => [],
                     deny => [], %p });
}

my %shown;

for my $caller (@callers) {
    my ($name, $path, $token) = @$caller;
    my @called;

    for my $tool (@tools) {
        my $r = $t->mcp_call($tool, {}, path => $path, token => $token);

        push @called, $tool if $r->{status} == 200;
    }

    for my $over (1, 2) {
        for my $type (qw/json event/) {
            my $r = list($type, undef, path => $path, token => $token,
                         over => $over);

            is("$r->{status} " . names($r), "200 @called",
               "$name: $type, HTTP/$over");
        }
    }

    $shown{$name} = "@called";
}

# a property holds for empty lists as well

is($shown{'a token, all planned'}, $base, 'by policy');
is($shown{'a token of another user'}, "$base db.query db.drop", 'by user');
is($shown{'a token, some planned'}, 'infra.list', 'by policy and plan');
is($shown{'a token, all planned for another server'}, '', 'by server');
is($shown{'a token with a policy'}, 'infra.scale db.query',
   'by policy of the token');
is($shown{'an API key'}, $base, 'by policy alone');
is($shown{'no calls'}, '', 'by method');

is(names(list('json')), $base,
   'an API key sees what it may ask a token for');
is(names(list('json', undef, path => '/dry')), "@tools",
   'a dry run hides nothing, as everything can be called');
is(names(list('json', undef, path => '/off')), "@tools",
   'armoriq_list_filter off');


# byte for byte

my $odd = <<'EOF' =~ s/<TAB>/\t/r =~ s/<BLANK>/ /r;
 { "jsonrpc" : "2.0",
<TAB>"result" : { "x" : 1e400, "tools" :
 [ { "name" : "infra.list" , "n" : [ 9007199254740993, -1.0E+999, 1e20 ] } ,

   { "na\u006de" : "infra.sc\u0061le", "d" : "\ud83d \u0000 \udc00\ud83d\ude00"
   } ] , "nextCursor" : "\u0041" } , "id" : "ab" }<BLANK>
EOF

my $about = "ETag: \"v1\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
    . "Accept-Ranges: bytes\r\nContent-MD5: x\r\nDigest: x\r\n"
    . "Repr-Digest: x\r\nContent-Digest: x\r\nX-Other: kept\r\n";

my @about = qw/etag last-modified accept-ranges content-md5 digest
               repr-digest content-digest/;

my $r = list('json', $odd, give => $about);

is($r->{body}, $odd, 'nothing to hide: the same bytes');
is_deeply([ map { $r->{headers}{$_} } 'content-length', 'etag', 'x-other',
                                      'content-md5', 'digest' ],
          [ length $odd, '"v1"', 'kept', 'x', 'x' ], 'and the same header');

is(list('json', $odd, over => 2)->{body}, $odd, 'over HTTP/2');

my $lines = $odd =~ s/^/data: /mgr . "\n";

is(list('sse', $lines)->{body}, $lines, 'in an event');

my $hide = '{"name":"db.drop","inputSchema":{"maximum":1e999}}';
my $keep = '{"name" : "infra.list", "d":[1,2 , 3]}';

my @cut = (
    [ "[$hide]", '[]' ],
    [ "[ $hide ]", '[  ]' ],
    [ '[]', '[]' ],
    [ "[ $hide , $keep\t]", "[ $keep\t]" ],
    [ "[$keep , $hide]", "[$keep]" ],
    [ "[$keep ,\t$hide,  $keep ]", "[$keep,  $keep ]" ],
    [ "[$hide, $hide , $keep,$hide,$hide , $keep, $hide]",
      "[$keep , $keep]" ],
    [ "[$hide,$hide, $hide]", '[]' ],
    [ '[{"name":"two words"},' . "$keep]", "[$keep]" ],
    [ '[{"name":"infra.\ud800list"},' . "$keep]", "[$keep]" ],
    [ '[{"name":"infra.list\u0000"},' . "$keep]", "[$keep]" ],
    [ '[{"name":""},' . "$keep]", "[$keep]" ],
);

for (@cut) {
    my ($from, $to) = @$_;
    my ($before, $after) = map {
        '{"result":{"_meta":{"a":[1]},"tools":' . $_
        . ',"nextCursor":"c\/1"},"id":"ab" ,"jsonrpc":"2.0"}' } $from, $to;

    my $r = list('json', $before, give => $about);

    is($r->{body}, $after, "cut: $from");

    is_deeply([ map { $r->{headers}{$_} } 'content-length', 'x-other',
                    @about ],
              [ length $after, 'kept', (undef) x @about ],
              'and the header fits')
        if $from ne $to;

    my $event = "id: 7\r\nevent: message\r\ndata: %s\r\nretry: 1\r\n\r\n"
        . ": end\r\n\r\n";

    is(list('sse', sprintf $event, $before)->{body}, sprintf($event, $after),
       'in an event');
}

my $split = "data:{\ndata: \"result\":{\"tools\":[\ndata:  $hide,\nid: 1\n"
    . "data:$keep]}\ndata\ndata:}\n\n";

is(list('sse', $split)->{body},
   "data: {\ndata: \"result\":{\"tools\":[\ndata:  $keep]}\ndata: \ndata: }\n"
   . "id: 1\n\n", 'an event of many lines');
is(list('sse', $split =~ s/\n/\r/gr)->{body},
   "data: {\rdata: \"result\":{\"tools\":[\rdata:  $keep]}\rdata: \rdata: }\r"
   . "id: 1\r\r", 'that end with CR');

my $batch = '[{"jsonrpc":"2.0","method":"x"},{"id":1,"result":{"tools":['
    . "$hide]}},{\"id\":2,\"result\":{\"tools\":[$hide,$keep]}}]";

is(list('json', $batch)->{body}, $batch =~ s/\Q$hide\E,?//gr,
   'an array of answers');


# cacheScope

sub scoped {
    my ($result, %o) = @_;
    my $r = list('json', '{"id":"ab","result":' . $result . '}', %o);

    return $r->{body} =~ s/^\{"id":"ab","result":(.*)\}$/$1/r;
}

my $k = "\"tools\":[$keep]";
my $private = '"cacheScope":"private"';

for ([ "{$k}", "{$k}", 'none' ],
     [ "{$k,\"cacheScope\": \"public\" ,\"ttlMs\":5}",
       "{$k,\"cacheScope\": \"private\" ,\"ttlMs\":5}", 'public' ],
     [ "{\"cacheScope\":null,$k}", "{$private,$k}", 'null, in front' ],
     [ "{ $k , $private }", "{ $k , $private }", 'private' ])
{
    my ($from, $to, $what) = @$_;

    is(scoped($from), $to, "cacheScope before 2026-07-28: $what");
    is(scoped($from, modern => 1),
       $what eq 'none' ? "{$k,$private}" : $to, "and from then on: $what");
}

is(scoped("{\"tools\":[$hide],\"cacheScope\":\"public\"}"),
   "{\"tools\":[],$private}", 'cacheScope behind a list that was cut');
is(scoped('{"resultType":"x" }', modern => 1), '{"resultType":"x" }',
   'a result without tools has no cacheScope added');


# what is no list

for my $text ('{"jsonrpc":"2.0","id":"ab","error":{"code":-1,"message":"x",'
              . '"data":{"tools":[]}}}',
              '{"jsonrpc":"2.0","id":"ab","result":{}}', 'null', '""', '')
{
    is(list('json', $text)->{body}, $text, "passes: $text");
}

for my $status (400, 404, 500) {
    my $r = list('json', "<$status>", status => $status);

    is("$r->{status} $r->{body}", "$status <$status>",
       "an answer with status $status");
}

is(list('json', '', status => 202)->{status}, 202, 'an answer of none');


# a list that cannot be read

for my $bad ('{"result":{"tools":[' . $keep, '{"result":{"tools":{}}}',
             '{"result":{"tools":null}}', '{"result":{"tools":[1]}}',
             '{"result":{"tools":["infra.list"]}}',
             '{"result":{"tools":[{}]}}', '{"result":{"tools":[{"name":1}]}}',
             '{"result":{"tools":[{"Name":"infra.list"}]}}',
             '{"result":{"tools":[{"name":"infra.list","NAME":"db.drop"}]}}',
             '{"result":{"tools":[{"name":"infra.list","name":"db.drop"}]}}',
             '{"result":{"Tools":[]}}', '{"RESULT":{"tools":[]}}',
             '{"result":{"tools":[],"tool\u0073":[]}}',
             '{"result":{"tool\u017f":[]}}', "\xef\xbb\xbf{}", 'db.drop',
             "{\"result\":{\"tools\":[]}}\0", '{"a":"' . "\xff" . '"}',
             '[' x 100 . ']' x 100)
{
    my $name = length $bad < 50 ? $bad : substr($bad, 0, 50) . '...';
    my $r = list('json', $bad, give => $about);
    my $e = $r->{json}{error} || {};

    $name =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;

    is_deeply([ $r->{status}, $r->{why}, $r->{json}{id}, $e->{code},
                map { $r->{headers}{$_} } qw/content-type etag
                                             cache-control/ ],
              [ 502, 'LIST_INVALID', 'ab', 502, 'application/json', undef,
                'no-store' ], "refused: $name");
    like($r->{raw}, qr/"id":"a\\u0062"/, 'the id as it was written');
    unlike($r->{body}, qr/db\.drop|infra/, 'and nothing of it gets out');

    $r = list('sse', ": x\n\nid: 5\nevent: message\ndata: $bad\n\n: y\n\n");

    like($r->{body}, qr/^:\ x\n\nid:\ 5\nevent:\ message\n
                        data:\ \{"jsonrpc":"2.0","id":"a\\u0062","error":
                        .*"reason":"LIST_INVALID".*\}\n\n
                        :\ y\n\n$/x, 'an event is an error in its place');
    is($r->{status}, 200, 'within the answer of the server');
    unlike($r->{body}, qr/db\.drop|infra/, 'nor there');
}

is(list('html', '<p>db.drop</p>')->{status}, 502,
   'whatever type it says it has');
is(names(list('html')), $base, 'and a list is one by what it holds');


# content codings

my $ask = "Accept-Encoding: gzip\r\n";

list('json', undef, headers => $ask);
is($t->last_hit()->{headers}{'accept-encoding'}, undef,
   'the server is not asked to compress a list');

list('json', undef, headers => $ask, path => '/off');
is($t->last_hit()->{headers}{'accept-encoding'}, 'gzip',
   'unless lists are not filtered');

$t->mcp_call('infra.list', {}, token => $all, headers => $ask);
is($t->last_hit()->{headers}{'accept-encoding'}, 'gzip',
   'and is asked for other answers');

for my $type (qw/json sse/) {
    my $r = list($type, "data: db.drop\n\n",
                 give => "Content-Encoding: br\r\n");

    is_deeply([ $r->{status}, $r->{why}, $r->{json}{id},
                $r->{headers}{'content-encoding'},
                $r->{headers}{'content-type'} ],
              [ 502, 'LIST_INVALID', 'ab', undef, 'application/json' ],
              "compressed all the same: $type");
    unlike($r->{raw}, qr/db\.drop/, 'and not passed');
}

is(names(list('json', undef, give => "Content-Encoding: identity\r\n")),
   $base, 'identity is no coding');

$r = list('json', undef, headers => $ask, path => '/gz');

ok(gunzip(\$r->{body} => \my $unzipped), 'nginx may compress it then');
is(names({ json => json_value($unzipped) }), $base,
   'and it is the filtered one');

$r = list('event', undef, headers => $ask, path => '/gz');

is($r->{headers}{'content-encoding'}, undef,
   'an event stream is not compressed');
is($r->{headers}{'x-accel-buffering'}, 'no', 'X-Accel-Buffering');
is($r->{headers}{'cache-control'}, 'no-cache, no-transform',
   'Cache-Control');

my @said = list('event', undef, give => "Cache-Control: no-cache\r\n")->{raw}
    =~ /^cache-control: (.*?)\r$/gim;

is("@said", 'no-cache', 'unless the server has said something');


# ranges

for my $type (qw/json event/) {
    my $r = list($type, undef, headers => "Range: bytes=0-10\r\n",
                 path => '/range', give => "Accept-Ranges: bytes\r\n");

    is("$r->{status} " . names($r), "200 $base", "a range of a list: $type");
}


# sizes

my $fits = '{"result":{"tools":[' . $hide . ']' . ' ' x 300;

$fits = substr($fits, 0, 298) . '}}';

is(list('json', $fits, path => '/small')->{body},
   $fits =~ s/\Q$hide\E//r, 'as long as armoriq_max_list allows');
is(list('json', "$fits ", path => '/small')->{why}, 'LIST_INVALID',
   'one byte more');

my $event = 'data: ' . substr($fits, 0, 290) . "}}\n\n";

is(list('sse', $event, path => '/small')->{body}, $event =~ s/\Q$hide\E//r,
   'an event that long');

$r = list('sse', ": x\n\ndata:  " . substr($event, 6), path => '/small');

is($r->{body}, ": x\n\n", 'one byte more ends the stream');
unlike($r->{raw}, qr/\r\n0\r\n/, 'and not as if it was over');

for my $over (1, 2) {
    my $shown = $big =~ s/\{"name":"db[^\}]*\},//gr;

    for my $type ('json', 'event') {
        my $r = list("big$type", undef, over => $over);

        ok($r->{body} eq ($type eq 'event' ? "data: $shown\n\n" : $shown),
           "a long list: $type, HTTP/$over")
            or diag(length $r->{body}, ' ', substr $r->{body}, 0, 300);
    }
}


# GET: events may be of an earlier request

for my $over (1, 2) {
    my $event = "id: 3\ndata: {\"id\":1,\"result\":{\"tools\":[$hide,$keep]}}"
        . "\n\ndata: {\"method\":\"x\",\"params\":{\"tools\":[$hide]}}\n\n";
    my $r = request(undef, method => 'GET', over => $over,
                    headers => "Last-Event-ID: 2\r\n",
                    path => '/mcp?' . cursor('sse', $event));

    is($r->{body}, $event =~ s/\Q$hide\E,//r, "GET, HTTP/$over");

    $r = request(undef, method => 'GET', over => $over, path => '/mcp?'
        . cursor('sse', "data: {\"id\":4,\"result\":{\"tools\":1}}\n\n"));

    like($r->{body}, qr/^data: \{"jsonrpc":"2.0","id":4,"error":.*\n\n$/,
         'that cannot be read');

    $r = request(undef, method => 'GET', over => $over, path => '/mcp?'
                 . cursor('html', $event));
    is($r->{body}, $event =~ s/\Q$hide\E,//r, 'whatever type it has');
}


$t->done_testing();
