#!/usr/bin/perl

# Guards the bypass matrix as a whole: that each of B1 to B64 has its test,
# that docs/security.md has a line for each, and that those which are a
# mistake of nginx.conf are found by "nginx -t", with the row's rule.  What
# gets through all the same, with "armoriq_lint warn", meets the walls in
# bypass_roads.t, bypass_framing.t, bypass_mcp.t and bypass_wait.t.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Bypass;


my $t = ArmorIQ->new(ports => 3);

$t->init_store(mcps => [ 'infra-mcp', 'other-mcp' ]);
$t->upstream();


# every row somewhere, and in the documentation

is_deeply([ sort { $a <=> $b } keys %ROWS ], [ 1 .. 64 ], 'B1 to B64');

my $docs = docs_rows();

is_deeply([ sort { $a <=> $b } keys %$docs ], [ 1 .. 64 ],
          'docs/security.md has B1 to B64');
is_deeply([ grep { my $r = $docs->{$_};
                   !$r->{vector} || !$r->{outcome} || !$r->{who}
                   || $r->{lint} !~ /^(?:yes|warns|-)$/ }
            sort { $a <=> $b } keys %$docs ],
          [], 'and all columns of each');

for my $file (qw/bypass_roads bypass_framing bypass_mcp bypass_wait/) {
    my @rows = rows_of($file);

    ok(@rows && -e "$FindBin::Bin/$file.t", "$file.t has " . @rows . ' rows');
}


# number, rule, location and what is beside it in http{} or server{}

my $walls = 'armoriq on; armoriq_mcp infra-mcp; proxy_pass http://g;';
my $open = 'proxy_pass http://g;';

my @refused = (
    [ 5, 'mirror', "location / { $walls mirror /m; }"
      . 'location /m { internal; proxy_pass http://g; }' ],
    [ 6, 'slice', "location / { $walls slice 1m;"
      . ' proxy_set_header Range $slice_range; }' ],
    [ 7, 'satisfy-any', "location / { $walls satisfy any; allow all; }" ],
    [ 7, 'satisfy-any', "location / { $walls }",
      server => 'satisfy any; allow all;' ],
    [ 16, 'post-action', "location / { $walls post_action /p; }"
      . 'location /p { return 204; }' ],
    [ 42, 'header-method', "location / { $walls"
      . ' proxy_set_header X-HTTP-Method-Override DELETE; }' ],
    [ 45, 'set-body', "location / { $walls proxy_set_body x; }" ],
    [ 45, 'method', "location / { $walls proxy_method PUT; }" ],
    [ 45, 'pass-body', "location / { $walls proxy_pass_request_body off; }" ],
    [ 45, 'header-framing', "location / { $walls"
      . ' proxy_set_header Content-Length 3; }' ],
    [ 45, 'header-framing', "location / { $walls"
      . ' proxy_set_header Content-Type text/plain; }' ],
    [ 45, 'header-framing', "location / { $walls"
      . ' proxy_set_header Transfer-Encoding chunked; }' ],
    [ 46, 'cache', "location / { $walls proxy_cache c; }",
      http => 'proxy_cache_path %%DIR%%/cache keys_zone=c:1m;' ],
    [ 46, 'store', "location / { $walls proxy_store %%DIR%%/store; }" ],
    [ 50, 'header-credential', "location / { $walls"
      . ' proxy_set_header Authorization $http_authorization; }' ],
    [ 56, 'next-upstream', "location / { $walls"
      . ' proxy_next_upstream error non_idempotent; }' ],
);

my @warned = (
    [ 1, 'ssi', "location / { $walls ssi on; }" ],
    [ 3, 'addition', "location / { $walls add_after_body /a; }"
      . 'location /a { return 204; }' ],
    [ 17, 'unguarded', 'location / { armoriq on; armoriq_mcp infra-mcp;'
      . ' proxy_pass http://u; }' ],
    [ 17, 'bypass', 'location / { armoriq on; armoriq_mcp infra-mcp;'
      . ' proxy_pass http://u; } location /o { proxy_pass http://u; }' ],
    [ 20, 'merge-slashes', "location / { $walls }",
      server => 'merge_slashes off;' ],
    [ 21, 'dynamic', 'location / { armoriq on; armoriq_mcp infra-mcp;'
      . ' proxy_pass http://$arg_up; }' ],
    [ 36, 'method-identity', "location / { $walls"
      . ' armoriq_method tools/call identity; }' ],
    [ 43, 'upgrade', "location / { $walls"
      . ' proxy_set_header Upgrade $http_upgrade; }' ],
    [ 49, 'underscores', "location / { $walls }",
      server => 'underscores_in_headers on;' ],
    [ 49, 'invalid-headers', "location / { $walls }",
      server => 'ignore_invalid_headers off;' ],
    [ 54, 'early-data', "location / { $walls }",
      server => 'ssl_early_data on;' ],
    [ 64, 'mcp-off', "location / { $walls }"
      . 'location /m { armoriq_mcp other-mcp; proxy_pass http://u; }' ],
);

# what does not parse, or is refused whatever "armoriq_lint" says

my @never = (
    [ 14, 'if with armoriq off', 'location / { armoriq on;'
      . " armoriq_mcp infra-mcp; $open if (\$arg_x) { armoriq off; } }",
      qr/"armoriq" directive is not allowed here/ ],
    [ 14, 'if with armoriq_dry_run', "location / { $walls"
      . ' if ($arg_x) { armoriq_dry_run on; } }',
      qr/"armoriq_dry_run" directive is not allowed here/ ],
    [ 14, 'if with armoriq_method', "location / { $walls"
      . ' if ($arg_x) { armoriq_method ping off; } }',
      qr/"armoriq_method" directive is not allowed here/ ],
    [ 14, 'limit_except with armoriq off', "location / { $walls"
      . ' limit_except POST { armoriq off; } }',
      qr/"armoriq" directive is not allowed here/ ],
    [ 17, 'another upstream of the same address',
      "location / { $walls } location /o { proxy_pass http://same; }",
      qr/guarded upstream "g" can also be reached/,
      http => 'upstream same { server %%UPSTREAM%%; }' ],
    [ 17, 'the address itself',
      "location / { $walls } location /o { proxy_pass http://%%UPSTREAM%%; }",
      qr/guarded upstream "g" can also be reached/ ],
);

my (%refused, %warned);

SKIP: {
    skip 'there is no armoriq_lint', 1 if !has_lint($t);

    for (@refused) {
        my ($n, $rule, $locations, %o) = @$_;
        my ($code, $out) = check($locations, %o);

        $refused{$n} = 1;
        isnt($code, 0, "B$n nginx -t refuses: $rule");
        like($out, qr/\[emerg\] .*\[\Q$rule\E, B$n\]/, "B$n by its rule");

        ($code, $out) = check($locations, %o, lint => 'warn');
        is($code, 0, "B$n armoriq_lint warn: $rule") or diag($out);
        like($out, qr/\[warn\] .*\[\Q$rule\E, B$n\]/, "B$n warns of it");
    }

    for (@warned) {
        my ($n, $rule, $locations, %o) = @$_;
        my ($code, $out) = check($locations, %o);

        $warned{$n} = 1;
        is($code, 0, "B$n nginx -t: $rule") or diag($out);
        like($out, qr/\[warn\] .*\[\Q$rule\E, B$n\]/, "B$n warns by its rule")
            or diag($out);
    }
}

for (@never) {
    my ($n, $name, $locations, $message, %o) = @$_;

    $refused{$n} = 1;

    for my $lint (has_lint($t) ? ('', 'warn', 'off') : '') {
        my ($code, $out) = check($locations, %o, lint => $lint);

        isnt($code, 0, "B$n nginx -t refuses: $name, lint '$lint'");
        like($out, $message, "B$n says why");
    }
}

delete @warned{ keys %refused };

if (has_lint($t)) {
    for my $n (1 .. 64) {
        is($docs->{$n} ? $docs->{$n}{lint} : '',
           $refused{$n} ? 'yes' : $warned{$n} ? 'warns' : '-',
           "B$n docs/security.md says what nginx -t does");
    }
}

# B14 at run time: what a client may say in "if" does not open anything

$t->run(conf('location / { armoriq on; armoriq_mcp infra-mcp; '
             . 'if ($arg_x) { set $y 1; } if ($arg_z) { '
             . 'proxy_pass http://g; } proxy_pass http://g; }'
             . 'location /r { armoriq on; armoriq_mcp other-mcp; '
             . 'if ($arg_x) { rewrite ^ /open last; } '
             . 'proxy_pass http://g; }'
             . 'location /open { proxy_pass http://g; }', lint => 'warn'));

for ([ '/?x=1', 401, 'IDENTITY_MISSING' ], [ '/?z=1', 401, 'IDENTITY_MISSING' ],
     [ '/?x=1&z=1', 401, 'IDENTITY_MISSING' ],
     [ '/r?x=1', 403, 'ENFORCEMENT_BYPASS' ])
{
    my ($uri, @want) = @$_;

    for my $version (1, 2) {
        my @request = ($uri, body => call('call'),
                       headers => "Content-Type: application/json\r\n");
        my $r = $version == 1 ? http_parse(http($t->port(0), @request))
                              : ArmorIQ::HTTP2::h2($t->port(1), @request);

        is_deeply([ $r->{status}, $r->{why}, $t->hit_count() ],
                  [ @want, 0 ], "B14 if in walls: $uri, h$version");
    }
}

$t->done_testing();


sub conf {
    my ($locations, %o) = @_;

    my $lint = $o{lint} && has_lint($t) ? "armoriq_lint $o{lint};" : '';
    my $server = $o{server} || '';

    return "%%ARMORIQ%%\n$lint\n" . ($o{http} || '') . "\n"
        . "upstream g { server %%UPSTREAM%%; armoriq_guard; }\n"
        . "upstream u { server 127.0.0.1:%%PORT2%%; }\n"
        . "server { listen 127.0.0.1:%%PORT0%%; $server\n$locations }\n"
        . "server { listen 127.0.0.1:%%PORT1%% http2; $server\n"
        . "$locations }\n";
}

sub check {
    $t->configure(conf(@_));

    return $t->check_config();
}
