#!/usr/bin/perl

# Guards the promise to unmodified clients: @armoriq/sdk 0.2.6 and the official
# MCP clients of both generations against servers on the official SDKs of both
# generations, in each way such a server may answer: with sessions or without,
# as event stream or as JSON, and with what goes to and fro during a call.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/sleep/;

use ArmorIQ;
use ArmorIQ::Node;


my $dir = "$FindBin::Bin/interop";

my $old = node(18) or plan(skip_all => missing(18));
my $new = node(20);

plan(skip_all => 'run "npm ci" in t/interop first')
    if !package_file('node_modules/@armoriq/sdk');

# How nginx reaches the MCP server: tuned for MCP, or as it does by default,
# with HTTP/1.0 and buffers, even if the server asks for none.  The SDKs say
# "Connection: keep-alive" where they close, so HTTP/1.0 is without keepalive.

my %keepalive = (
    tuned => 'keepalive 16; keepalive_timeout 4s;',
    untuned => '',
);

my %proxy = (
    tuned => <<'CONF',
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header Authorization "";
            proxy_set_header X-API-Key "";
            proxy_buffering off;
CONF
    untuned => <<'CONF',
            proxy_set_header Host $http_host;
            proxy_ignore_headers X-Accel-Buffering;
CONF
);

my @ways = (
    [ 'sessions, event streams' ],
    [ 'sessions, JSON', '--json' ],
    [ 'stateless, event streams', '--stateless' ],
    [ 'stateless, JSON', '--stateless', '--json' ],
);

for (@ways) {
    my ($name, @args) = @$_;

    subtest "\@armoriq/sdk: $name" => sub {
        my $t = gateway($old, 'tuned', 'server.mjs', @args);

        drive($t, $old, 'drive.mjs', '--json');
        $t->finish();
    };
}

SKIP: {
    skip(missing(20), 12) if !$new;

    for my $server (qw/fixture legacy/) {
        for (@ways) {
            my ($name, @args) = @$_;

            clients("$server.mjs: $name", 'tuned', $server, @args);

            clients("$server.mjs: $name, nginx untuned", 'untuned', $server,
                    @args)
                if $name =~ /streams/;
        }
    }
}

done_testing();


sub clients {
    my ($name, $proxy, $server, @args) = @_;

    subtest $name => sub {
        my $t = gateway($new, $proxy, "$server.mjs", @args);

        drive($t, $new, 'clients.mjs', '--server', $server, @args);
        $t->finish();
    };
}

# an MCP server and nginx in front of it

sub gateway {
    my ($node, $proxy, $server, @args) = @_;
    my $t = ArmorIQ->new();

    $t->init_store(policy => { allow => [ 'infra-mcp/*' ] });

    $t->{upstream_port} = start_server($t, $node, $server, @args);

    my $conf = <<'CONF';
%%ARMORIQ%%

    upstream infra {
        server %%UPSTREAM%%;
        armoriq_guard;
        %%KEEPALIVE%%
    }

    server {
        listen 127.0.0.1:%%PORT0%%;

        location / {
            armoriq_api on;
        }

        location = /invoke {
            armoriq on;
            armoriq_invoke on;
        }

        location = /mcp {
            armoriq on;
            armoriq_mcp infra-mcp;
            armoriq_method resources/read prompts/get identity;

            proxy_pass http://infra/mcp;
%%PROXY%%
        }
    }
CONF

    $conf =~ s/%%KEEPALIVE%%/$keepalive{$proxy}/;
    $conf =~ s/%%PROXY%%/$proxy{$proxy}/;

    return $t->run($conf);
}

# runs clients, which say what came of each call and what had to

sub drive {
    my ($t, $node, $program, @args) = @_;

    local $ENV{ARMORIQ_API_KEY} = $t->{key};

    my $out = `$node $dir/$program http://127.0.0.1:@{[ $t->port() ]} http://127.0.0.1:$t->{upstream_port} @args 2>$t->{dir}/drive.err`;
    my $r = json_value($out);

    ok($r, 'the clients ran')
        or diag($out, $t->read('drive.err'), $t->read('error.log'));

    for (@{ $r ? $r->{rows} : [] }) {
        is($_->{got}, $_->{expected},
           join ' ', grep { defined } "$_->{client}:", @$_{qw/what call/})
            or diag($_->{detail});
    }

    $t->stop();

    my ($code, $text) = $t->audit_verify();

    is($code, 0, 'the audit log is complete') or diag($text);
}
