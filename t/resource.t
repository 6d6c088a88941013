#!/usr/bin/perl

# Guards the way of an OAuth client to its authorization server: the challenge
# of a 401, the metadata of RFC 9728 that it names, and the addresses at which
# clients look without being told.  A row that turns red here sends clients to
# the wrong place, or to none; one that turns green by showing the metadata of
# another server, or by opening what lies beside it, is a hole.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::HTTP2;


my $t = ArmorIQ->new(ports => 4);

my $key = $t->init_store(mcps => [ map { "$_-mcp" }
    qw/infra slash plain nested root/ ]);

$t->upstream();

my $known = '/.well-known/oauth-protected-resource';
my $host = 'https://mcp.example.com';
my $as = 'authorization_server=https://auth.example.com';

$t->run(<<"CONF_END");
%%ARMORIQ%%

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;
    listen 127.0.0.1:%%PORT1%% http2;

    armoriq on;
    armoriq_origins https://app.example.com;

    location = /mcp {
        armoriq_resource $host/mcp $as/tenant1
            authorization_server=http://127.0.0.1:9000
            "scope=mcp:tools mcp:read"
            documentation=https://example.com/d?a=1#b;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }

    location /slash/ {
        armoriq_mcp slash-mcp;
        armoriq_resource $host:8443/slash/ $as;
        proxy_pass http://infra/mcp;

        location = /slash/nested {
            armoriq_mcp nested-mcp;
            proxy_pass http://infra/mcp;
        }

        location = /slash/same {
            proxy_pass http://infra/mcp;
        }
    }

    location = /plain {
        armoriq_mcp plain-mcp;
        proxy_pass http://infra/mcp;
    }

    location $known {
        armoriq_metadata on;

        location $known/open { proxy_pass http://infra/mcp; }
    }

    location /api/ { armoriq off; armoriq_api on; }
}

server {
    listen 127.0.0.1:%%PORT2%%;

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        armoriq_resource $host/only $as;
        proxy_pass http://infra/mcp;
    }

    location $known { armoriq_metadata on; }
}

server {
    listen 127.0.0.1:%%PORT3%%;

    location / {
        armoriq on;
        armoriq_mcp root-mcp;
        armoriq_resource $host/ $as;
        proxy_pass http://infra;
    }

    location $known { armoriq_metadata on; }
}
CONF_END

my $plan = { goal => 'resource', steps => [
    { action => 'infra.list', mcp => 'infra-mcp', max_uses => 1000 } ] };

my $token = $t->issue_token(plan => $plan)->{jws};
my $json = "Content-Type: application/json\r\n";
my $call = json_text({ jsonrpc => '2.0', id => 1, method => 'tools/call',
    params => { name => 'infra.list', arguments => {} } });

my $document = {
    resource => "$host/mcp",
    authorization_servers => [ 'https://auth.example.com/tenant1',
                               'http://127.0.0.1:9000' ],
    bearer_methods_supported => [ 'header' ],
    scopes_supported => [ 'mcp:tools', 'mcp:read' ],
    resource_documentation => 'https://example.com/d?a=1#b',
};

for my $h2 (0, 1) {
    test_document($h2);
    test_missing($h2);
    test_methods($h2);
    test_challenge($h2);
}

test_root();
test_discovery();
test_beside();

is($t->hit_count(), $t->calls(), 'only calls have reached the server');

test_config();

$t->done_testing();


sub ask {
    my ($h2, $path, %o) = @_;
    my $port = defined $o{port} ? $o{port} : $h2 ? 1 : 0;

    return $h2 ? h2($t->port($port), $path, %o)
               : http_parse(http($t->port($port), $path, %o));
}

sub proto { $_[0] ? 'h2' : 'h1' }

# the headers of an answer but those of every answer, as "name: value"

sub headers {
    my ($r) = @_;
    my ($head) = split /\r\n\r\n/, $r->{raw};

    return sort map { /^([^:]+): ?(.*)/ ? lc($1) . ": $2" : () }
           grep { !/^(?:server|date|connection|content-length|HTTP.*):?/i }
           split /\r\n/, $head;
}

my @public;

BEGIN {
    @public = ('access-control-allow-origin: *',
               'cache-control: public, max-age=3600',
               'content-type: application/json');
}

sub shown {
    my ($name, $r, $expected) = @_;

    is_deeply([ $r->{status}, $r->{json}, headers($r) ],
              [ 200, $expected, @public ], $name)
        or diag(substr $r->{raw}, 0, 1000);
}

sub hidden {
    my ($name, $r) = @_;

    is_deeply([ $r->{status}, $r->{why}, headers($r),
                ref $r->{json} eq 'HASH' ? $r->{json}{error} : '' ],
              [ 404, '', 'access-control-allow-origin: *',
                'cache-control: no-store', 'content-type: application/json',
                'NOT_FOUND' ], $name)
        or diag(substr $r->{raw}, 0, 1000);
}

sub test_document {
    my ($h2) = @_;
    my $p = proto($h2);
    my $slash = { resource => "$host:8443/slash/",
                  authorization_servers => [ 'https://auth.example.com' ],
                  bearer_methods_supported => [ 'header' ] };

    shown("$p: metadata", ask($h2, "$known/mcp"), $document);
    shown("$p: with a query", ask($h2, "$known/mcp?x=1"), $document);
    shown("$p: to a page", ask($h2, "$known/mcp",
          headers => "Origin: https://app.example.com\r\n"), $document);
    shown("$p: to any page", ask($h2, "$known/mcp",
          headers => "Origin: https://evil.example.com\r\n"), $document);
    shown("$p: with a key that is wrong", ask($h2, "$known/mcp",
          headers => "Authorization: Bearer x\r\n"), $document);
    shown("$p: with a revision", ask($h2, "$known/mcp",
          headers => "MCP-Protocol-Version: 2025-11-25\r\n"), $document);

    # RFC 9728 keeps a slash at the end, SDKs do not

    shown("$p: a slash at the end", ask($h2, "$known/slash/"), $slash);
    shown("$p: or none", ask($h2, "$known/slash"), $slash);

    my $r = ask($h2, "$known/mcp", method => 'HEAD');

    is_deeply([ $r->{status}, $r->{body}, headers($r) ],
              [ 200, '', @public ], "$p: HEAD");
    is($r->{headers}{'content-length'},
       length ask($h2, "$known/mcp")->{body}, "$p: HEAD: the length");
}

sub test_missing {
    my ($h2) = @_;
    my $p = proto($h2);

    hidden("$p: \"$_\"", ask($h2, "$known$_"))
        for '', '/', '/plain', '/mcp/x', '/mc', '/mcpx', '/MCP', 'x', 'x/mcp',
            '/only', '/slash/nested', '/%6dcp/x';

    shown("$p: an escaped name is that name", ask($h2, "$known/%6dcp"),
          $document);
}

sub test_methods {
    my ($h2) = @_;
    my $p = proto($h2);

    for my $method (qw/POST PUT DELETE PATCH/) {
        my $r = ask($h2, "$known/mcp", method => $method, body => '{}',
                    headers => $json);

        is_deeply([ $r->{status}, $r->{json}{error}, headers($r) ],
                  [ 405, 'METHOD_NOT_ALLOWED',
                    'access-control-allow-origin: *',
                    'allow: GET, HEAD, OPTIONS', 'cache-control: no-store',
                    'content-type: application/json' ], "$p: $method");
    }

    my $r = ask($h2, "$known/mcp", method => 'OPTIONS',
        headers => "Origin: https://evil.example.com\r\n"
            . "Access-Control-Request-Method: GET\r\n"
            . "Access-Control-Request-Headers: mcp-protocol-version\r\n");

    is_deeply([ $r->{status}, $r->{body}, headers($r) ],
        [ 204, '',
          'access-control-allow-headers: '
          . 'Accept, Content-Type, MCP-Protocol-Version',
          'access-control-allow-methods: GET, HEAD',
          'access-control-allow-origin: *', 'access-control-max-age: 600',
          'allow: GET, HEAD, OPTIONS' ], "$p: a preflight");
}


# what a 401 says

sub challenged {
    my ($name, $r, $status, $why, $challenge) = @_;

    is_deeply([ $r->{status}, $r->{why}, $r->{headers}{'www-authenticate'} ],
              [ $status, $why, $challenge ], $name)
        or diag(substr $r->{raw}, 0, 1000);
}

sub post {
    my ($h2, $path, $headers, %o) = @_;

    return ask($h2, $path, body => $call, headers => $json . $headers, %o);
}

sub test_challenge {
    my ($h2) = @_;
    my $p = proto($h2);
    my $realm = 'Bearer realm="armoriq"';
    my $wrong = "$realm, error=\"invalid_token\"";
    my $at = ", resource_metadata=\"$host$known/mcp\", "
        . 'scope="mcp:tools mcp:read"';
    my $bad = $token =~ s/\.[^.]+\z/'.' . 'A' x 86/er;

    challenged("$p: nothing", post($h2, '/mcp', ''), 401, 'IDENTITY_MISSING',
               $realm . $at);
    challenged("$p: a GET", ask($h2, '/mcp'), 401, 'IDENTITY_MISSING',
               $realm . $at);
    challenged("$p: a DELETE", ask($h2, '/mcp', method => 'DELETE'),
               401, 'IDENTITY_MISSING', $realm . $at);
    challenged("$p: a key that is fine, but no token",
               post($h2, '/mcp', "X-API-Key: $key\r\n"),
               401, 'TOKEN_MISSING', $realm . $at);
    challenged("$p: a key that is not",
               post($h2, '/mcp', "X-API-Key: ak_live_unknown\r\n"),
               401, 'KEY_INVALID', $wrong . $at);
    challenged("$p: a token that is not",
               post($h2, '/mcp', "Authorization: Bearer $bad\r\n"),
               401, 'TOKEN_SIGNATURE', $wrong . $at);

    my $slash = ", resource_metadata=\"$host:8443$known/slash/\"";

    challenged("$p: no scope", post($h2, '/slash/', ''),
               401, 'IDENTITY_MISSING', $realm . $slash);
    challenged("$p: a location inside", post($h2, '/slash/same', ''),
               401, 'IDENTITY_MISSING', $realm . $slash);
    challenged("$p: another MCP server inside",
               post($h2, '/slash/nested', ''),
               401, 'IDENTITY_MISSING', $realm);
    challenged("$p: no resource", post($h2, '/plain', ''),
               401, 'IDENTITY_MISSING', $realm);

    # neither a policy nor a plan is a matter of scopes

    my $auth = "Authorization: Bearer $token\r\n";

    challenged("$p: not planned", ask($h2, '/mcp', headers => $json . $auth,
               body => $call =~ s/infra\.list/infra.kill/r),
               409, 'STEP_NOT_PLANNED', undef);
    challenged("$p: a page", post($h2, '/mcp',
               "${auth}Origin: https://evil.example.com\r\n"),
               403, 'ORIGIN_NOT_ALLOWED', undef);
    challenged("$p: permitted", post($h2, '/mcp', $auth), 200, '', undef);
}


# one resource in the server: also where nobody knows its path

sub test_root {
    my $only = { resource => "$host/only",
                 authorization_servers => [ 'https://auth.example.com' ],
                 bearer_methods_supported => [ 'header' ] };

    shown('one resource', ask(0, "$known/only", port => 2), $only);
    shown('one resource, at the root', ask(0, $known, port => 2), $only);
    shown('and a slash', ask(0, "$known/", port => 2), $only);
    hidden('but nowhere else', ask(0, "$known/mcp", port => 2));

    my $root = { %$only, resource => "$host/" };

    shown('a resource at the root', ask(0, $known, port => 3), $root);
    hidden('is not below it', ask(0, "$known/x", port => 3));
    challenged('and is named without a slash', post(0, '/', '', port => 3),
               401, 'IDENTITY_MISSING', 'Bearer realm="armoriq", '
               . "resource_metadata=\"$host$known\"");
}

# as the official client builds addresses: that of the challenge; without one
# the path behind the well-known name, then the name alone

sub discover {
    my ($port, $url) = @_;
    my ($path) = $url =~ m{^https://[^/]+(/.*)?\z};
    my @tried;

    $path = '/' if !defined $path;

    my $first = $path =~ s{/\z}{}r;

    for my $address ("$known$first", $path eq '/' ? () : $known) {
        my $r = ask(0, $address, port => $port);

        push @tried, $r->{status};
        return (@tried, $r->{json}{resource}) if $r->{status} == 200;
    }

    return @tried;
}

sub test_discovery {
    my ($at) = ask(0, '/mcp')->{headers}{'www-authenticate'}
        =~ /resource_metadata="\Q$host\E([^"]*)"/;

    is(ask(0, $at)->{json}{resource}, "$host/mcp", 'found by the challenge');

    is_deeply([ discover(0, "$host/mcp") ], [ 200, "$host/mcp" ],
              'found by its path');
    is_deeply([ discover(0, "$host:8443/slash/") ],
              [ 200, "$host:8443/slash/" ], 'with a slash at the end');
    is_deeply([ discover(2, "$host/mcp") ], [ 404, 200, "$host/only" ],
              'the only one, at the root');
    is_deeply([ discover(0, "$host/plain") ], [ 404, 404 ],
              'none of several');
    is_deeply([ discover(3, $host) ], [ 200, "$host/" ],
              'a server at the root');
    is_deeply([ discover(3, "$host/x") ], [ 404, 200, "$host/" ],
              'or below it');
}

# what is public is the answer of one handler, not a location

sub test_beside {

    # records keep their order: what comes in between is found in between

    my ($first) = refused_id("$known/open");

    ask(0, "$known$_") for '', '/mcp', '/x';

    my ($last, @all) = refused_id("$known/open");

    shift @all while @all && $all[0] ne $first;

    is_deeply(\@all, [ $first, $last ], 'metadata is not in the log');
}

# the id of a refusal, and those of all records when it has got there

sub refused_id {
    my ($path) = @_;
    my $r = ask(0, $path);
    my $id = $r->{json}{error}{data}{requestId};
    my @all;

    is_deeply([ $r->{status}, $r->{why} ], [ 401, 'IDENTITY_MISSING' ],
              'a location inside is judged');

    for (1 .. 250) {
        @all = map { $_->{rid} } $t->audit_records('INTENT');
        last if grep { $_ eq $id } @all;
        sleep 0.02;
    }

    return ($id, @all);
}


sub test_config {
    my $c = ArmorIQ->new();

    $c->init_store();

    my $check = sub {
        my ($line, %o) = @_;
        my $mcp = $o{bare} ? '' : 'armoriq on; armoriq_mcp infra-mcp;';
        my $more = defined $o{more}
                   ? $o{more} : "location $known { armoriq_metadata on; }";

        $c->configure("%%ARMORIQ%%\nserver { listen 127.0.0.1:%%PORT0%%; "
            . "location = /mcp { $mcp $line; "
            . "proxy_pass http://127.0.0.1:1; } $more }");

        return $c->check_config();
    };

    for (
        [ 'https://mcp.example.com' ], [ 'https://mcp.example.com/' ],
        [ 'https://mcp.example.com:8443/a/b' ],
        [ 'http://localhost:80/a' => 1 ],
        [ 'http://localhost:8080/a' ], [ 'http://127.0.0.1/a' ],
        [ 'http://[::1]/a' ], [ 'https://[2001:db8::1]/a' ],
        [ 'http://mcp.example.com/a' => 1 ], [ 'http://192.0.2.1/a' => 1 ],
        [ 'http://127.evil.example/a' => 1 ],
        [ 'http://localhost.example.com/a' => 1 ],
        [ 'HTTPS://mcp.example.com' => 1 ], [ 'https://Mcp.example.com' => 1 ],
        [ 'https://' => 1 ], [ 'https:///a' => 1 ], [ '/mcp' => 1 ],
        [ 'ftp://mcp.example.com' => 1 ], [ 'mcp.example.com' => 1 ],
        [ 'https://a@mcp.example.com/' => 1 ],
        [ 'https://mcp.example.com:443/' => 1 ],
        [ 'https://mcp.example.com:0/' => 1 ],
        [ 'https://mcp.example.com:65536/' => 1 ],
        [ 'https://mcp.example.com:/' => 1 ],
        [ 'https://mcp.example.com:1x/' => 1 ],
        [ 'https://mcp.example.com/a?b' => 1 ],
        [ 'https://mcp.example.com/a#b' => 1 ],
        [ 'https://mcp.example.com/a%20b' => 1 ],
        [ 'https://mcp.example.com//a' => 1 ],
        [ 'https://mcp.example.com/a/../b' => 1 ],
        [ 'https://mcp.example.com/./a' => 1 ],
        [ '"https://mcp.example.com/a b"' => 1 ],
        [ '"https://mcp.example.com/a\"b"' => 1 ],
        [ '"https://mcp.example.com/a\\\\b"' => 1 ],
        [ "\"https://mcp.example.com/a\tb\"" => 1 ],
        [ "\"https://mcp.example.com/a\x01b\"" => 1 ],
        [ "\"https://mcp.example.com/a\x7fb\"" => 1 ],
        [ "\"https://mcp.example.com/\xc3\xa9\"" => 1 ],
        [ 'https://[::g]/' => 1 ], [ 'https://[::1/' => 1 ],
        [ 'https://.example.com/' => 1 ],
    ) {
        my ($url, $wrong) = @$_;
        my ($code, $out) = $check->("armoriq_resource $url $as");

        is($code, $wrong ? 1 : 0, 'resource ' . $url =~ s/[^ -~]/?/gr
           . ($wrong ? ': refused' : ''))
            or diag($out);
        like($out, qr/invalid parameter ".*" in "armoriq_resource": /s,
             'and said why') if $wrong;
    }

    for (
        [ 'authorization_server=https://auth.example.com/a%2fb' ],
        [ 'authorization_server=http://auth.example.com', 'loopback' ],
        [ 'authorization_server=https://auth.example.com/?a', 'no query' ],
        [ 'authorization_server=https://auth.example.com/#a', 'no query' ],
        [ 'authorization_server=https://auth.example.com/%zz', 'character' ],
        [ 'authorization_server=', 'https://' ],
        [ "$as scope=a" ], [ "$as \"scope=a b:c d/e\"" ],
        [ "$as scope=", 'one blank' ], [ "$as \"scope=a  b\"", 'one blank' ],
        [ "$as \"scope= a\"", 'one blank' ],
        [ "$as \"scope=a \"", 'one blank' ],
        [ "$as 'scope=a\"b'", 'character' ], [ "$as scope=\xe9", 'character' ],
        [ "$as scope=a scope=b", 'once' ],
        [ "$as \"scope=a offline_access\"", 'offline_access' ],
        [ "$as documentation=http://localhost/a?b#c" ],
        [ "$as documentation=javascript:alert(1)", 'https://' ],
        [ "$as documentation=https://a/ documentation=https://b/", 'once' ],
        [ "$as other=1", 'authorization_server=' ],
        [ "$as other", 'name=value' ],
        [ 'scope=a', 'needs "authorization_server="' ],
    ) {
        my ($params, $why) = @$_;
        my ($code, $out)
            = $check->("armoriq_resource https://mcp.example.com/a $params");

        is($code, $why ? 1 : 0, $params =~ s/[^ -~]/?/gr
           . ($why ? ': refused' : ''))
            or diag($out);
        like($out, qr/\Q$why\E/, 'and said why') if $why;
    }

    my $one = "armoriq_resource https://mcp.example.com/a $as";

    for (
        [ 'without an MCP server', [ $one, bare => 1 ], 1,
          'needs "armoriq_mcp"' ],
        [ 'twice', [ "$one; $one" ], 1, 'is duplicate' ],
        [ 'two with one path', [ $one, more => "location /b { armoriq on; "
          . 'armoriq_mcp b-mcp; '
          . "armoriq_resource https://b.example.com/a/ $as; "
          . "proxy_pass http://127.0.0.1:1; }" ], 1, 'path of another one' ],
        [ 'without metadata', [ $one, more => '' ], 0,
          "write \"location $known { armoriq_metadata on; }\"" ],
        [ 'metadata off', [ $one,
          more => "location $known { armoriq_metadata off; }" ], 0,
          'its metadata is not served' ],
    ) {
        my ($name, $args, $code, $why) = @$_;
        my ($got, $out) = $check->(@$args);

        is($got, $code, "armoriq_resource $name");
        like($out, qr/\Q$why\E/, 'and said why');
    }

    my ($code, $out) = $check->($one);

    unlike($out, qr/armoriq_resource/, 'nothing is said of a pair of both');
}
