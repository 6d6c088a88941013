#!/usr/bin/perl

# Guards the directives: a configuration that is wrong and starts all the same
# protects nothing, and one that is refused without a sentence that names the
# directive costs an evening.  And those that are right: what is inherited,
# what a location may turn off, what only warns.

use strict;
use warnings;

use FindBin;
use File::Copy;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::HTTP2;



my $t = ArmorIQ->new(ports => 4);

my @mcps = qw/mcp dry strict loose uses open nested inner if le inherited/;

my $key = $t->init_store(mcps => \@mcps);

$t->upstream();

my $store = $t->store();
my $audit = $t->audit();

my $main = "armoriq_store $store; armoriq_audit $audit; armoriq_zone 8m;\n";
my $on = 'armoriq on; armoriq_mcp mcp;';

wrong_values();
wrong_context();
missing();
stores();
guarded_addresses();
accepted();
running();

$t->done_testing();


# nginx -t fails with one line, which says this

sub refused {
    my ($name, $http, $what) = @_;

    $t->configure($http);

    my ($code, $out) = $t->check_config();

    # the conclusion of nginx is not counted

    my @lines = grep { /\[emerg\]/ } split /\n/, $out;

    is($code, 1, "$name: refused") or diag($out);
    is(scalar @lines, 1, "$name: in one line") or diag($out);
    like($lines[0] || '', $what, "$name: which says so");
    like($lines[0] || '', qr/armoriq/, "$name: and names the directive");
    unlike($out, qr/Sanitizer|\[alert\]/, "$name: nothing breaks");
}

sub good {
    my ($name, $http) = @_;

    $t->configure($http);

    my ($code, $out) = $t->check_config();

    is($code, 0, "$name: accepted") or diag($out);
    unlike($out, qr/\[(?:emerg|alert|crit|error)\]/, "$name: quietly");
}

sub in_location {
    my ($directives) = @_;

    return "$main server { listen 127.0.0.1:%%PORT0%%;"
           . " location / { $directives } }";
}

sub wrong_values {
    my $invalid = qr/invalid (?:value|parameter|number of arguments)/;

    # of values and their number, in a location

    for ([ 'armoriq maybe', $invalid ], [ 'armoriq', $invalid ],
         [ 'armoriq on on', $invalid ],
         [ 'armoriq_dry_run yes', $invalid ], [ 'armoriq_dry_run', $invalid ],
         [ 'armoriq_step_uses 1', $invalid ],
         [ 'armoriq_step_uses', $invalid ],
         [ 'armoriq_params loose', $invalid ], [ 'armoriq_params', $invalid ],
         [ 'armoriq_params strict planned', $invalid ],
         [ 'armoriq_max_body big', $invalid ],
         [ 'armoriq_max_body -1', $invalid ],
         [ 'armoriq_max_body 99999999999999999999', $invalid ],
         [ 'armoriq_max_body', $invalid ],
         [ 'armoriq_invoke', $invalid ], [ 'armoriq_invoke true', $invalid ],
         [ 'armoriq_api', $invalid ], [ 'armoriq_api /iap', $invalid ],
         [ 'armoriq_mcp', $invalid ],
         [ 'armoriq_mcp ""', qr/name of an MCP server has 1 to/ ],
         [ 'armoriq_mcp ' . 'x' x 300, qr/name of an MCP server has 1 to/ ],
         [ "armoriq_mcp \"a\tb\"", qr/no control characters/ ],
         [ 'armoriq_mcp a statefull', $invalid ],
         [ 'armoriq_mcp a protocol', $invalid ],
         [ 'armoriq_mcp a protocol=', $invalid ],
         [ 'armoriq_mcp a protocol=2025', $invalid ],
         [ 'armoriq_mcp a protocol=2025-11-25x', $invalid ],
         [ 'armoriq_mcp a protocol=1999-01-01', $invalid ],
         [ 'armoriq_mcp a b c d', $invalid ],
         [ 'armoriq_limit', $invalid ],
         [ 'armoriq_limit rate=1', $invalid ],
         [ 'armoriq_limit rate=0r/s', $invalid ],
         [ 'armoriq_limit rate=-1r/s', $invalid ],
         [ 'armoriq_limit rate=r/s', $invalid ],
         [ 'armoriq_limit rate=1r/d', $invalid ],
         [ 'armoriq_limit rate=1.5r/s', $invalid ],
         [ 'armoriq_limit rate=1000001r/s', $invalid ],
         [ 'armoriq_limit rate=99999999999999999999r/s', $invalid ],
         [ 'armoriq_limit burst=5', qr/needs "rate="/ ],
         [ 'armoriq_limit rate=1r/s burst=', $invalid ],
         [ 'armoriq_limit rate=1r/s burst=-1', $invalid ],
         [ 'armoriq_limit rate=1r/s burst=1000001', $invalid ],
         [ 'armoriq_limit rate=1r/s burst=x', $invalid ],
         [ 'armoriq_limit rate=1r/s key=', $invalid ],
         [ 'armoriq_limit rate=1r/s key=ip', $invalid ],
         [ 'armoriq_limit rate=1r/s key=user+', $invalid ],
         [ 'armoriq_limit rate=1r/s key=User', $invalid ],
         [ 'armoriq_limit rate=1r/s keys=user', $invalid ],
         [ 'armoriq_limit rate=1r/s burst=1 key=user nodelay', $invalid ])
    {
        my ($directive, $what) = @$_;

        refused($directive, in_location("$directive;"), $what);
    }

    # a date that is none, and a parameter that is there twice

    refused($_, in_location("$_;"), $invalid)
        for 'armoriq_mcp a protocol=20xx-yy-zz',
            'armoriq_mcp a protocol=20251125-0',
            'armoriq_mcp a stateless stateless',
            'armoriq_limit rate=1r/s rate=2r/s',
            'armoriq_limit rate=1r/s burst=1 burst=2',
            'armoriq_limit rate=1r/s key=user key=org';

    # in http

    my ($code, $witness) = $t->ctl('audit', 'witness', $t->dir() . '/witness',
                                   '--name', 'example.com/w');

    chomp $witness;
    is($code, 0, 'the key of a witness');

    my $server = "server { listen 127.0.0.1:%%PORT0%%; }";

    for ([ 'armoriq_store', $invalid ], [ 'armoriq_store ""',
                                          qr/needs a directory/ ],
         [ 'armoriq_store a b', $invalid ],
         [ 'armoriq_audit', $invalid ], [ 'armoriq_audit ""',
                                          qr/needs a directory/ ],
         [ "armoriq_audit $audit durability=none", $invalid ],
         [ "armoriq_audit $audit fsync", $invalid ],
         [ "armoriq_audit $audit durability=fsync x", $invalid ],
         map({ [ "armoriq_audit $audit $_", $invalid ] }
             'checkpoint=', 'checkpoint=0', 'checkpoint=3601',
             'checkpoint=1,', 'checkpoint=1,0', 'rotate=', 'rotate=on',
             'rotate=65535', 'rotate=1x', 'rotate=2t', 'rotate=1025g',
             'rotate=off,1d', 'rotate=1m,', 'rotate=1m,0', 'rotate=1m,2y',
             'rotate=1m,1d,1d', 'rotate=-1m', 'reserve=', 'reserve=on',
             'reserve=63k', 'reserve=1025m', 'reserve=0', 'heartbeat=',
             'heartbeat=0', 'heartbeat=2d', 'heartbeat=x', 'heartbeat',
             'payload=', 'payload=on', 'payload=plain', 'payload'),
         [ 'armoriq_audit_witness', $invalid ],
         map({ [ "armoriq_audit_witness $witness $_", $invalid ] }
             'require=0', 'require=17', 'require=x', 'require=', 'max_age=',
             'max_age=9s', 'max_age=-1', 'max_age=x', 'x',
             # the key of a log
             'example.com/foo+530d903a'
             . '+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'),
         [ 'armoriq_audit_witness require=1', qr/needs the verification key/ ],
         [ "armoriq_audit_witness $witness require=2",
           qr/requires more witnesses than there are/ ],
         [ "armoriq_audit_witness $witness $witness", qr/a witness twice/ ],
         [ 'armoriq_zone', $invalid ], [ 'armoriq_zone 8m x', $invalid ],
         [ 'armoriq_zone x', qr/invalid zone size/ ],
         [ 'armoriq_zone a:', qr/invalid zone size/ ],
         [ 'armoriq_zone :8m', qr/invalid zone size/ ],
         [ 'armoriq_zone a:b:8m', qr/invalid zone size/ ],
         [ 'armoriq_zone -8m', qr/invalid zone size/ ],
         [ 'armoriq_zone 7m', qr/too small: write 8m or more/ ],
         [ 'armoriq_zone a:8k', qr/too small: write 8m or more/ ],
         [ 'armoriq_zone 0', qr/too small: write 8m or more/ ])
    {
        my ($directive, $what) = @$_;

        refused($directive, "$directive; $server", $what);
    }

    # what is there twice

    my $twice = qr/duplicate|already used/;

    refused("$_ twice", "$_; $_; $server", $twice)
        for "armoriq_store $store", "armoriq_audit $audit", 'armoriq_zone 8m';

    refused("$_ twice", in_location("$_; $_;"), $twice)
        for 'armoriq on', 'armoriq_dry_run on', 'armoriq_step_uses on',
            'armoriq_params strict', 'armoriq_max_body 1m',
            'armoriq_invoke on', 'armoriq_api on', 'armoriq_mcp a';

    refused('armoriq_guard twice',
            "upstream u { server 127.0.0.1:9; armoriq_guard; armoriq_guard; }"
            . " $server", $twice);
    refused('armoriq_guard with an argument',
            "upstream u { server 127.0.0.1:9; armoriq_guard on; } $server",
            $invalid);

    refused('one MCP server in two locations',
            "$main server { listen 127.0.0.1:%%PORT0%%;"
            . ' location /a { armoriq_mcp a; }'
            . ' location /b { armoriq_mcp a; } }',
            qr/names the same MCP server twice/);
}

sub wrong_context {
    my $here = qr/directive is not allowed here/;
    my $server = "server { listen 127.0.0.1:%%PORT0%%;";

    # a condition that a client may choose must not turn anything off

    for ('armoriq off', 'armoriq_dry_run on', 'armoriq_params planned',
         'armoriq_step_uses off', 'armoriq_max_body 1g', 'armoriq_mcp a',
         'armoriq_invoke on', 'armoriq_api on', 'armoriq_limit rate=1r/s')
    {
        refused("$_ in if", "$main $server location / { $on"
                . " if (\$arg_a) { $_; } } }", $here);
        refused("$_ in if of a server", "$main $server"
                . " if (\$arg_a) { $_; } } ", $here);
        refused("$_ in limit_except", "$main $server location / { $on"
                . " limit_except GET { $_; } } }", $here);
    }

    for ("armoriq_store $store", "armoriq_audit $audit", 'armoriq_zone 8m',
         'armoriq_audit_witness x')
    {
        refused("$_ in server", "$server $_; }", $here);
        refused("$_ in location", "$server location / { $_; } }", $here);
    }

    for ('armoriq_mcp a', 'armoriq_invoke on', 'armoriq_api on',
         'armoriq_guard')
    {
        refused("$_ in http", "$_; $server }", $here);
        refused("$_ in server", "$server $_; }", $here);
    }

    refused('armoriq_guard in location', in_location('armoriq_guard;'),
            $here);
    refused('armoriq in upstream',
            "upstream u { server 127.0.0.1:9; armoriq on; } $server }",
            $here);
}

# nothing that armoriq needs has a default

sub missing {
    my @parts = ("armoriq_store $store;", "armoriq_audit $audit;",
                 'armoriq_zone 8m;');
    my @what = (qr/needs "armoriq_store DIR;".*armoriqctl init/,
                qr/needs "armoriq_audit DIR;".*armoriqctl init/,
                qr/needs "armoriq_zone SIZE;".*armoriq_zone 16m/);

    for my $i (0 .. 2) {
        my $rest = join ' ', map { $parts[$_] } grep { $_ != $i } 0 .. 2;

        refused("$_ without part $i",
                "$rest server { listen 127.0.0.1:%%PORT0%%;"
                . " location / { $_; } }", $what[$i])
            for 'armoriq on', 'armoriq_api on', 'armoriq_invoke on';

        refused("armoriq on in http without part $i",
                "$rest armoriq on; server { listen 127.0.0.1:%%PORT0%%; }",
                $what[$i]);
    }

    good('armoriq off needs none',
         'server { listen 127.0.0.1:%%PORT0%%; armoriq off; }');
}

sub stores {
    my $d = $t->dir();
    my $site = 'server { listen 127.0.0.1:%%PORT0%%; armoriq on; }';
    my $with = sub { "armoriq_store $_[0]; armoriq_audit "
                     . ($_[1] || $audit) . "; armoriq_zone 8m; $site" };

    refused('no store', $with->("$d/none"), qr/armoriq_store ".*none"/);
    mkdir "$d/empty";
    refused('an empty store', $with->("$d/empty"), qr/armoriq_store ".*empty"/);
    refused('a store that is a file', $with->($t->write('file', 'x')),
            qr/armoriq_store ".*file"/);
    refused('no audit log', $with->($store, "$d/none"),
            qr/armoriq_audit: ".*none.*armoriqctl init/);
    refused('an empty audit log', $with->($store, "$d/empty"),
            qr/armoriq_audit: ".*armoriqctl init/);

    # copies of a good one, each with something wrong

    my $copy = sub {
        my ($name) = @_;

        $t->ctl_ok('init', '--store', "$d/$name", '--org', 'example');

        return "$d/$name";
    };

    my $c = $copy->('writable');

    chmod 0666, "$c/data.mdb";
    refused('data.mdb that all may write', $with->($c),
            qr/armoriq_store ".*writable".*(?:writ|mode|permission)/);

    # the file is private, its directory is not

    $c = $copy->('shared');
    chmod 0777, $c;
    refused('a store in which all may write', $with->($c),
            qr/armoriq_store ".*shared".*(?:writ|mode|permission)/);

    my %damage = (
        truncated => sub { truncate $_[0], 5000 },
        empty_file => sub { truncate $_[0], 0 },
        garbage => sub { overwrite($_[0], 0, 'x' x 16384) },
        magic => sub { overwrite($_[0], 16, "\0\0\0\0") },
    );

    for my $name (sort keys %damage) {
        $c = $copy->($name);

        $damage{$name}->("$c/data.mdb");
        refused("a store that is damaged: $name", $with->($c),
                qr/armoriq_store ".*$name"/);
    }

    # every permit would be refused: better now than in the night

    $c = $copy->('badlog');
    overwrite("$c/audit/log.json", 0, 'x' x 40);

    refused('a damaged audit log', $with->($c, "$c/audit"),
            qr/armoriq_audit.*badlog/);

    # not started, not even for a moment

    $t->configure($with->("$d/none"));
    ok(!eval { $t->start(); 1 }, 'nginx does not start without a store');
    like($@, qr/armoriq_store/, 'and says why');
    is(http($t->port(0), '/'), '', 'nobody listens');
    unlink "$d/error.log", "$d/nginx.out";
}

sub overwrite {
    my ($file, $offset, $data) = @_;

    open my $f, '+<:raw', $file or die "$file: $!";
    seek $f, $offset, 0;
    print $f $data;
    close $f or die "$file: $!";
}

# a guard is worth nothing if its server has another door

sub guarded_addresses {
    my $what = qr/of the guarded upstream "g" can also be reached by upstream/;
    my $g = 'upstream g { server 127.0.0.1:9; armoriq_guard; }';
    my $s = 'server { listen 127.0.0.1:%%PORT0%%;';

    refused('proxy_pass to the address',
            "$g $s location / { proxy_pass http://127.0.0.1:9; } }", $what);
    refused('proxy_pass to its name',
            "$g $s location / { proxy_pass http://localhost:9; } }", $what);
    refused('grpc_pass to the address',
            "$g $s location / { grpc_pass grpc://127.0.0.1:9; } }", $what);
    refused('fastcgi_pass to the address',
            "$g $s location / { fastcgi_pass 127.0.0.1:9; } }", $what);
    refused('an upstream before it',
            "upstream a { server 127.0.0.1:8; server 127.0.0.1:9; } $g $s }",
            $what);
    refused('an upstream behind it, a backup',
            "$g upstream a { server 127.0.0.1:8;"
            . " server 127.0.0.1:9 backup; } $s }", $what);
    refused('a unix socket',
            "upstream g { server unix:/tmp/a; armoriq_guard; }"
            . " $s location / { proxy_pass http://unix:/tmp/a; } }", $what);
    refused('in another server',
            "$g $s } server { listen 127.0.0.1:%%PORT1%%;"
            . ' location / { proxy_pass http://127.0.0.1:9; } }', $what);

    good('both are guarded',
         "$g upstream h { armoriq_guard; server 127.0.0.1:9; } $s }");
    good('another port',
         "$g $s location / { proxy_pass http://127.0.0.1:10; } }");
    good('the guarded one itself',
         "$g $s location / { proxy_pass http://g; } }");

    for ('least_conn', 'hash $uri', 'random', 'ip_hash', 'zone z 64k',
         'keepalive 4')
    {
        good("armoriq_guard before $_",
             "upstream g { armoriq_guard; server 127.0.0.1:9; $_; } $s }");
        good("armoriq_guard after $_",
             "upstream g { server 127.0.0.1:9; $_; armoriq_guard; } $s }")
            if $_ !~ /ip_hash/;
    }
}

sub accepted {
    good('everything at once', in_location(
        "$on armoriq_params strict; armoriq_step_uses off;"
        . ' armoriq_max_body 64k; armoriq_dry_run on;'
        . ' armoriq_limit key=org+user+agent+tool+mcp+token burst=0 rate=1r/h;'
        . ' armoriq_limit rate=1000000r/s burst=1000000;'));
    good('armoriq_mcp where no URI leads', "$main server { listen 127.0.0.1:%%PORT0%%;"
         . ' location = /a { armoriq_mcp a; }'
         . ' location ~ /b { armoriq_mcp a; }'
         . ' location @c { armoriq_mcp a; } }');
    good('limits in http', "$main armoriq_limit rate=1r/m;"
         . ' server { listen 127.0.0.1:%%PORT0%%; }');
    good('a named zone', "armoriq_store $store; armoriq_audit $audit"
         . ' durability=write; armoriq_zone calls:8m;'
         . ' server { listen 127.0.0.1:%%PORT0%%; armoriq on; }');
    good("armoriq_audit with $_", "armoriq_store $store; armoriq_audit $audit"
         . " $_; armoriq_zone 8m;"
         . ' server { listen 127.0.0.1:%%PORT0%%; armoriq on; }')
        for 'rotate=off', 'rotate=64k', 'rotate=1024g,366d', 'rotate=1m,1s',
            'reserve=off', 'reserve=64k', 'reserve=1g', 'heartbeat=off',
            'heartbeat=1s', 'heartbeat=1d', 'checkpoint=off',
            'payload=off', 'payload=encrypted',
            'durability=write rotate=1m reserve=1m heartbeat=1m checkpoint=2';
    good('directories with a slash', "armoriq_store $store///;"
         . " armoriq_audit $audit/; armoriq_zone 8m;"
         . ' server { listen 127.0.0.1:%%PORT0%%; armoriq on; }');
    good('relative directories', 'armoriq_store store;'
         . ' armoriq_audit store/audit; armoriq_zone 8m;'
         . ' server { listen 127.0.0.1:%%PORT0%%; armoriq on; }');
}


# how they work

sub running {
    $t->run(<<"EOF");
$main
log_format seen '\$uri \$armoriq_verdict \$armoriq_reason';
access_log %%DIR%%/seen.log seen;
client_max_body_size 8m;
upstream g { server %%UPSTREAM%%; armoriq_guard; }
server {
    listen 127.0.0.1:%%PORT0%%;
    listen 127.0.0.1:%%PORT1%% http2;

    location /mcp { $on proxy_pass http://g; }
    location /dry { armoriq on; armoriq_mcp dry; armoriq_dry_run on;
                    proxy_pass http://g; }
    location /dryinvoke { armoriq on; armoriq_invoke on;
                          armoriq_dry_run on; }
    location /tight { armoriq on; armoriq_max_body 50; proxy_pass http://g; }
    location /strict { armoriq on; armoriq_mcp strict; armoriq_params strict;
                       proxy_pass http://g; }
    location /loose { armoriq on; armoriq_mcp loose; proxy_pass http://g; }
    location /uses { armoriq on; armoriq_mcp uses; armoriq_step_uses off;
                     proxy_pass http://g; }
    location /nested {
        armoriq on; armoriq_mcp nested; armoriq_params strict;
        proxy_pass http://g;

        location /nested/in { proxy_pass http://g; }
        location ~ /re\$ { proxy_pass http://g; }
        location /nested/off { armoriq off; proxy_pass http://g; }
        location /nested/own { armoriq_mcp inner; armoriq_params planned;
                               proxy_pass http://g; }
    }
}
upstream plain { server 127.0.0.1:%%PORT3%%; }
server {
    listen 127.0.0.1:%%PORT3%%;
    access_log %%DIR%%/plain.log;
    location / { return 200 "{}"; }
}
server {
    listen 127.0.0.1:%%PORT2%%;
    armoriq on;
    location /new { proxy_pass http://plain; }
    location /off { armoriq off; proxy_pass http://plain; }
    location /inherited { armoriq_mcp inherited; proxy_pass http://g; }
}
EOF

    dry_run();
    params();
    max_body();
    step_uses();
    max_uses();
    nested();
    whole_server();

    my ($code, $out) = $t->audit_verify();

    is($code, 0, 'the log is whole') or diag($out);
}

sub token {
    my (@steps) = @_;

    return $t->issue_token(seconds => 3600, plan => { goal => 'test',
        steps => [ map { my ($mcp, $action, %o) = @$_;
                         +{ mcp => $mcp, action => $action, %o } } @steps ],
    })->{jws};
}

# how many requests reached a server

sub count { my $n = () = $t->read('plain.log') =~ /\n/g;
            return $n + $t->hit_count() }

# status, reason and hits of one call

sub outcome {
    my ($name, $want, $path, $token, $tool, $args, %o) = @_;
    my $before = count();

    my $r = $t->mcp_call($tool, $args || {}, path => $path,
                         defined $token ? (token => $token) : (), %o);

    # its log is written after its answer

    my ($hits) = $want =~ /(\d+)$/;

    for (1 .. 50) {
        last if count() - $before >= $hits;
        sleep 0.01;
    }

    is("$r->{status} $r->{why} " . (count() - $before), $want, $name)
        or diag($r->{raw});

    return $r;
}

# the last line of the access log, which is written after the answer

sub seen {
    my ($name, $want) = @_;
    my $line = '';

    for (1 .. 50) {
        ($line) = $t->read('seen.log') =~ /([^\n]*)\n\z/;
        last if defined $line && $line eq $want;
        sleep 0.01;
    }

    is($line, $want, $name);
}

sub dry_run {
    my $token = token([ 'dry', 'a' ]);
    my $intents = sub { ($t->audit_records('INTENT'))[-1] };

    outcome('dry run: permitted', '200  1', '/dry', $token, 'a');
    seen('dry run: permitted, the variable', '/dry PERMIT OK');

    for ([ 'not planned', $token, 'b', 'STEP_NOT_PLANNED' ],
         [ 'nobody', undef, 'a', 'IDENTITY_MISSING' ],
         [ 'used', $token, 'a', 'STEP_USED' ])
    {
        my ($name, $who, $tool, $why) = @$_;

        outcome("dry run: $name goes on, once", '200  1', '/dry', $who,
                $tool);

        my $record = $intents->();

        is("$record->{verdict} $record->{reason} " . ($record->{dry_run}
                                                      ? 'dry' : 'wet'),
           "DENY $why dry", "dry run: $name, the record");
        seen("dry run: $name, the variable", "/dry DENY_DRY_RUN $why");
        is($t->last_hit()->{headers}{authorization}, undef,
           "dry run: $name, the token stays here");
    }

    # the body comes later than the headers

    my $body = json_text({ jsonrpc => '2.0', id => 1, method => 'tools/call',
                           params => { name => 'a', arguments => {} } });
    my $before = count();
    my $head = "POST /dry HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        . "Content-Type: application/json\r\nContent-Length: "
        . length($body) . "\r\n\r\n";

    {
        my $r = http_parse(http_raw($t->port(0), $head, $body));

        is("$r->{status} " . (count() - $before), '200 1',
           'dry run: nobody goes on, the body behind the headers');

        $before = count();
        $r = h2($t->port(1), '/dry', body => $body,
                headers => "Content-Type: application/json\r\n");
        is("$r->{status} " . (count() - $before), '200 1',
           'dry run: nobody goes on, HTTP/2');
    }

    # an envelope that was not permitted cannot be turned into a call

    $before = count();

    my $r = http_parse(http($t->port(0), '/dryinvoke',
        body => '{"mcp":"dry","action":"a","params":{}}',
        headers => "Content-Type: application/json\r\nX-API-Key: $key\r\n"));

    is("$r->{status} $r->{why} " . (count() - $before),
       '401 TOKEN_MISSING 0', 'dry run: not of /invoke');
}

sub params {
    my $bound = { params => { n => 1 }, max_uses => 10 };
    my @steps = map { [ $_, 'free', max_uses => 10 ], [ $_, 'bound', %$bound ] }
                    qw/strict loose/;
    my $token = token(@steps);

    outcome('strict: a step without params', '409 STEP_UNBOUND 0', '/strict',
            $token, 'free', { n => 1 });
    outcome('strict: the same without arguments', '409 STEP_UNBOUND 0',
            '/strict', $token, 'free', {});
    outcome('strict: equal params', '200  1', '/strict', $token, 'bound',
            { n => 1 });
    outcome('strict: other params', '409 STEP_PARAMS 0', '/strict', $token,
            'bound', { n => 2 });
    outcome('planned: a step without params', '200  1', '/loose', $token,
            'free', { n => 1 });
    outcome('planned: equal params', '200  1', '/loose', $token, 'bound',
            { n => 1 });
    outcome('planned: other params', '409 STEP_PARAMS 0', '/loose', $token,
            'bound', { n => 2 });
}

# refused for its size, and on record as any other refusal

sub max_body {
    my $r = outcome('armoriq_max_body', '413 BODY_TOO_LARGE 0', '/tight',
                    $key, 'a');

    my $rid = $r->{json}{error}{data}{requestId} || '';
    my $record;

    like($rid, qr/^[0-9a-f]{32}$/, 'armoriq_max_body: an id');

    for (1 .. 200) {
        ($record) = grep { $_->{rid} eq $rid } $t->audit_records('INTENT');
        last if $record;
        sleep 0.01;
    }

    is($record && $record->{reason}, 'BODY_TOO_LARGE',
       'armoriq_max_body: the record');
}

sub step_uses {
    my $token = token([ 'uses', 'a' ], [ 'mcp', 'a' ]);

    outcome("armoriq_step_uses off, $_", '200  1', '/uses', $token, 'a')
        for 1 .. 5;
    outcome('armoriq_step_uses off: what is not planned',
            '409 STEP_NOT_PLANNED 0', '/uses', $token, 'b');
    outcome('armoriq_step_uses on', '200  1', '/mcp', $token, 'a');
    outcome('armoriq_step_uses on, again', '409 STEP_USED 0', '/mcp', $token,
            'a');
}

sub max_uses {
    my $token = token([ 'mcp', 'a', max_uses => 3 ], [ 'mcp', 'b' ],
                      [ 'mcp', 'b' ]);

    outcome("max_uses 3, $_", '200  1', '/mcp', $token, 'a') for 1 .. 3;
    outcome('max_uses 3, the fourth', '409 STEP_USED 0', '/mcp', $token, 'a');
    outcome("the same step twice in the plan, $_", '200  1', '/mcp', $token,
            'b') for 1 .. 2;
    outcome('the same step twice in the plan, the third', '409 STEP_USED 0',
            '/mcp', $token, 'b');
}

sub nested {
    my $token = token([ 'nested', 'a', max_uses => 10, params => {} ],
                      [ 'nested', 'b', max_uses => 10 ],
                      [ 'inner', 'b', max_uses => 10 ]);

    for my $path ('/nested', '/nested/in', '/nested/re') {
        outcome("$path: nobody", '401 IDENTITY_MISSING 0', $path, undef, 'a');
        outcome("$path: planned", '200  1', $path, $token, 'a');
        outcome("$path: armoriq_params is inherited", '409 STEP_UNBOUND 0',
                $path, $token, 'b');
    }

    outcome('armoriq off inside: the guard is left',
            '403 ENFORCEMENT_BYPASS 0', '/nested/off', $token, 'a');
    outcome('an MCP server of its own', '200  1', '/nested/own', $token, 'b');
    outcome('which is not that of the level above', '409 STEP_SERVER 0',
            '/nested/own', $token, 'a');
}

sub whole_server {
    my $token = token([ 'inherited', 'a' ]);
    my @port = (port => 2);

    outcome('armoriq on in server: nobody', '401 IDENTITY_MISSING 0',
            '/inherited', undef, 'a', undef, @port);
    outcome('armoriq on in server: planned', '200  1', '/inherited', $token,
            'a', undef, @port);

    # a new location is closed, also to those who have a token

    for my $path ('/new', '/none') {
        my $r = outcome("a new location $path: nobody",
                        '401 IDENTITY_MISSING 0', $path, undef, 'a', undef,
                        @port);

        $r = $t->mcp_call('a', {}, path => $path, token => $token, @port);
        like($r->{status}, qr/^40[49]$/, "a new location $path: with a token");
    }

    outcome('armoriq off opens one', '200  1', '/off', undef, 'a', undef,
            @port);
}
