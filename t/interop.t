#!/usr/bin/perl

# Guards the promise to unmodified clients: @armoriq/sdk 0.2.6 and the
# official MCP client against a server on the official SDK, in each way such a
# server may answer: with sessions or without, as event stream or as JSON.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/sleep/;

use ArmorIQ;


my $dir = "$FindBin::Bin/interop";

plan(skip_all => 'node 18 or newer is missing')
    if system('node -e "process.exit(parseInt(process.versions.node) < 18'
              . ' ? 1 : 0)" 2>/dev/null') != 0;

plan(skip_all => 'run "npm ci" in t/interop first')
    if !-d "$dir/node_modules/\@armoriq/sdk";

for ([ 'sessions, event streams' ],
     [ 'sessions, JSON', '--json' ],
     [ 'stateless, event streams', '--stateless' ],
     [ 'stateless, JSON', '--stateless', '--json' ])
{
    my ($name, @args) = @$_;

    subtest $name => sub {
        my $t = ArmorIQ->new();

        drive($t, @args);
        $t->finish();
    };
}

done_testing();


sub drive {
    my ($t, @args) = @_;
    my $key = $t->init_store(policy => { allow => [ 'infra-mcp/*' ] });

    my $pid = open my $server, '-|', 'node', "$dir/server.mjs", @args
        or die "node: $!";

    my $ready = json_value(scalar <$server>);

    if (!ok($ready, 'the MCP server runs')) {
        kill 'TERM', $pid;
        return;
    }

    # the handle lives as long as the server: closing it waits for its end

    $t->{server} = $server;
    $t->{upstream_port} = $ready->{port};
    push @{ $t->{pids} }, $pid;

    $t->run(<<'CONF');
%%ARMORIQ%%

    upstream infra {
        server %%UPSTREAM%%;
        armoriq_guard;
        keepalive 16;
        keepalive_timeout 4s;
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

            proxy_pass http://infra/mcp;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header Authorization "";
            proxy_set_header X-API-Key "";
            proxy_buffering off;
        }
    }
CONF

    local $ENV{ARMORIQ_API_KEY} = $key;

    my $out = `node $dir/drive.mjs http://127.0.0.1:@{[ $t->port() ]} http://127.0.0.1:$ready->{port} --json 2>$t->{dir}/drive.err`;
    my $r = json_value($out);

    ok($r, 'the clients ran')
        or diag($out, $t->read('drive.err'), $t->read('error.log'));

    for (@{ $r ? $r->{rows} : [] }) {
        is($_->{got}, $_->{expected},
           "$_->{client}: $_->{what} $_->{call}")
            or diag($_->{detail});
    }

    $t->stop();

    my ($code, $text) = $t->audit_verify();

    is($code, 0, 'the audit log is complete') or diag($text);
}
