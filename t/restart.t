#!/usr/bin/perl

# Guards what must outlive a process.  A token issued before nginx was killed
# works after it; a step that was used stays used, whether a worker, the
# master or both are killed or told to reload, and whichever worker is asked;
# a step of a call that never left is given back, and that too is remembered.
# The audit log says the same through all of it.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Rows;


# port 0: nginx; 1: an MCP server that comes up late; 2: one that is slow

my $t = ArmorIQ->new(ports => 3);

$t->init_store(mcps => [ qw/infra-mcp late-mcp slow-mcp/ ]);
$t->allow_alerts(qr/exited on signal 9/);

$t->upstream(port => $t->port(2), slow => 1.5);
$t->upstream();

my $locations = join '', map { <<"EOF" } qw/late slow/;
    location = /$_ {
        armoriq on;
        armoriq_mcp $_-mcp;
        proxy_pass http://$_/mcp;
    }
EOF

$t->run(<<"EOF", workers => 2);
%%ARMORIQ%%

upstream infra { server %%UPSTREAM%%; armoriq_guard; }
upstream late { server 127.0.0.1:%%PORT1%%; armoriq_guard; }
upstream slow { server 127.0.0.1:%%PORT2%%; armoriq_guard; }

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq_api on; }
    location = /invoke { armoriq on; armoriq_invoke on; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }

$locations
}
EOF

my $n = 0;
my $plan = { goal => 'restart', steps => [
    (map { { action => 'infra.restart', mcp => 'infra-mcp',
             params => { n => $_ } } } 0 .. 19),
    { action => 'infra.list', mcp => 'infra-mcp', params => {},
      max_uses => 3 },
    { action => 'alerts.list', mcp => 'late-mcp', params => {} },
    { action => 'alerts.create', mcp => 'late-mcp', params => {},
      max_uses => 2 },
    { action => 'infra.scale', mcp => 'late-mcp', params => {} },
    (map { { action => 'infra.scale', mcp => 'slow-mcp',
             params => { n => $_ } } } 0 .. 1),
] };

my $token = $t->request_token(plan => $plan, seconds => 3600);

ok($token->{success}, 'token') or BAIL_OUT('no token');

rows($t);


# a token, and a used step

again('killed', sub { killed() });
again('killed once more', sub { killed() });
again('reloaded', sub { $t->reload() });
again('reloaded once more', sub { $t->reload() });
again('stopped and started', sub { $t->stop(); $t->start() });

again('without its workers', sub {
    my @old = $t->workers();

    kill 'KILL', @old;

    for (1 .. 250) {
        last if 2 == grep { my $w = $_; !grep { $_ == $w } @old }
                          $t->workers();
        sleep 0.02;
    }
});

# those of before each of them, all over again

refused("step $_ is used for good", call('infra.restart', { n => $_ }),
        409, 'STEP_USED') for 0 .. $n - 1;


# several uses, all over the place

permitted('the first of three', call('infra.list', {}));
killed();
permitted('the second, after a kill', call('infra.list', {}));
$t->reload();
permitted('the third, after a reload', call('infra.list', {}));
refused('a fourth', call('infra.list', {}), 409, 'STEP_USED');
killed();
refused('nor after a kill', call('infra.list', {}), 409, 'STEP_USED');


# whichever worker is asked

{
    my %asked;

    for (1 .. 20) {
        my @socks = map { sender('infra.list', {}) } 1 .. 10;

        for my $s (@socks) {
            my $r = http_parse(drain($s));

            $asked{$r->{why}}++;
        }

        last if 2 == keys %{ { map { $_->{w} => 1 } grep {
            ($_->{tool} || '') eq 'infra.list' && $_->{reason} eq 'STEP_USED'
        } $t->audit_records('INTENT') } };
    }

    is_deeply([ keys %asked ], [ 'STEP_USED' ], 'both workers say so');

    my %w = map { $_->{w} => 1 } grep { $_->{reason} eq 'STEP_USED' }
            $t->audit_records('INTENT');

    is(scalar keys %w, 2, 'and both were asked');
}

# of many at the same time one gets it

{
    my @socks = map { sender('infra.restart', { n => $n }) } 1 .. 20;
    my @got = map { http_parse(drain($_))->{status} } @socks;

    is_deeply([ sort @got ], [ 200, (409) x 19 ],
              'of 20 at the same time one is served');
    is(seen(), 1, 'and one is executed');
    $n++;
}

verified('after all of that');


# not sent: nobody there

{
    my $r = call('alerts.list', {}, path => '/late');

    is($r->{status}, 502, 'a server that is not there');
    is(outcome('alerts.list'), 'not_sent', 'nothing has left');

    is(call('alerts.list', {}, path => '/late')->{status}, 502,
       'so the step may be used again');
    is(outcome('alerts.list'), 'not_sent', 'nothing has left');

    $r = $t->invoke('infra.scale', {}, token => $token, plan => $plan,
                    mcp => 'late-mcp', no_csrg => 1);
    is($r->{status}, 502, '/invoke: a server that is not there');
    is($r->{why}, 'NETWORK_ERROR', 'and it says so');
    is(outcome('infra.scale'), 'not_sent', 'nothing has left');

    is(call('alerts.create', {}, path => '/late')->{status}, 502,
       'one of two uses');
    is(outcome('alerts.create'), 'not_sent', 'has not left');

    is(seen(), 0, 'the upstreams have seen nothing');

    killed();
    is(call('alerts.list', {}, path => '/late')->{status}, 502,
       'after a kill it may still be used');
    is(outcome('alerts.list'), 'not_sent', 'nothing has left');
    $t->reload();
    is(call('alerts.list', {}, path => '/late')->{status}, 502,
       'after a reload it may still be used');
    is(outcome('alerts.list'), 'not_sent', 'nothing has left');

    $t->upstream(port => $t->port(1));

    permitted('now that it is there it is served',
              call('alerts.list', {}, path => '/late'));
    refused('once', call('alerts.list', {}, path => '/late'),
            409, 'STEP_USED');

    $r = $t->invoke('infra.scale', {}, token => $token, plan => $plan,
                    mcp => 'late-mcp', no_csrg => 1);
    is($r->{status}, 200, '/invoke: now that it is there it is served')
        or diag($r->{raw});
    hits();

    $r = $t->invoke('infra.scale', {}, token => $token, plan => $plan,
                    mcp => 'late-mcp', no_csrg => 1);
    is_deeply([ $r->{status}, $r->{why}, seen() ], [ 409, 'STEP_USED', 0 ],
              '/invoke: once');

    permitted('the first of two', call('alerts.create', {},
                                       path => '/late'));
    permitted('the second of two', call('alerts.create', {},
                                        path => '/late'));
    refused('a third', call('alerts.create', {}, path => '/late'),
            409, 'STEP_USED');

    killed();

    refused('used: alerts.list', call('alerts.list', {}, path => '/late'),
            409, 'STEP_USED');
    refused('used: alerts.create',
            call('alerts.create', {}, path => '/late'), 409, 'STEP_USED');
    refused('used: infra.scale',
            call('infra.scale', {}, path => '/late'), 409, 'STEP_USED');
}

verified('with calls that were not sent');


# killed while a call was on its way: nobody knows, so it is used

{
    my $s = sender('infra.scale', { n => 0 }, path => '/slow');

    ok(arrived(), 'it has got there');
    $t->crash();
    close $s;

    my ($code, $out) = $t->audit_verify();

    is($code, 10, 'audit verify: an outcome is unknown') or diag($out);

    $t->start();

    refused('it may have been executed, so it is used',
            call('infra.scale', { n => 0 }, path => '/slow'),
            409, 'STEP_USED');

    ($code, $out) = $t->audit_verify();
    is($code, 10, 'audit verify: it stays unknown') or diag($out);
}

# reloaded while a call is on its way: the old worker finishes it

{
    my $s = sender('infra.scale', { n => 1 }, path => '/slow');

    ok(arrived(), 'it has got there');
    $t->reload();

    refused('on its way, so it is used',
            call('infra.scale', { n => 1 }, path => '/slow'),
            409, 'STEP_USED');

    is(http_parse(drain($s))->{status}, 200, 'the old worker has finished');
    close $s;
    is(outcome('infra.scale'), 'executed', 'and says so');
}


# another token of the same plan has its own uses, and no more

{
    my $other = $t->request_token(plan => $plan, seconds => 3600);

    is($other->{plan_hash}, $token->{plan_hash}, 'the same plan');
    permitted('another token', $t->mcp_call('infra.restart', { n => 0 },
                                            token => $other->{jwt_token}));
    refused('used as well', $t->mcp_call('infra.restart', { n => 0 },
                                         token => $other->{jwt_token}),
            409, 'STEP_USED');
}

# a token that expires is remembered as long as it could be used

{
    my $brief = $t->request_token(plan => $plan, seconds => 2);
    my $until = time() + 3.2;

    permitted('a brief token', $t->mcp_call('infra.restart', { n => 0 },
                                            token => $brief->{jwt_token}));
    killed();

    while (time() < $until) {
        my $r = $t->mcp_call('infra.restart', { n => 0 },
                             token => $brief->{jwt_token});

        next if $r->{why} eq 'STEP_USED' || $r->{why} eq 'TOKEN_EXPIRED';
        fail("used, then expired: $r->{why}");
        last;
    }

    refused('expired', $t->mcp_call('infra.restart', { n => 0 },
                                    token => $brief->{jwt_token}),
            401, 'TOKEN_EXPIRED');
}

verified('in the end');

$t->done_testing();


# one step is used, something happens, it is used and the next one is not

sub again {
    my ($what, $happens) = @_;

    permitted("before nginx is $what", call('infra.restart', { n => $n }));
    $happens->();
    refused("nginx $what: the step stays used",
            call('infra.restart', { n => $n }), 409, 'STEP_USED');
    permitted("nginx $what: the token works",
              call('infra.restart', { n => ++$n }));
    verified("nginx $what");
    $n++;
}

sub killed {
    $t->crash();
    verified('killed');
    $t->start();
}

sub verified {
    my ($when) = @_;
    my ($code, $out) = $t->audit_verify();

    # the outcome of the last call may have been on its way to the disk

    like($code, qr/^(?:0|10)$/, "audit verify: $when") or diag($out);
}

sub call {
    my ($tool, $args, %o) = @_;

    return $t->mcp_call($tool, $args, token => $token->{jwt_token}, %o);
}

sub sender {
    my ($tool, $args, %o) = @_;
    my $body = rpc($tool, $args);
    my $s = connected();

    syswrite $s, 'POST ' . ($o{path} || '/mcp') . " HTTP/1.1\r\nHost: x\r\n"
        . "Connection: close\r\nContent-Type: application/json\r\n"
        . "Authorization: Bearer $token->{jwt_token}\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

    return $s;
}

sub arrived {
    for (1 .. 100) {
        return 1 if seen();
        sleep 0.05;
    }

    return 0;
}

# what the last call of a tool has come to; the record follows the answer

sub outcome {
    my ($tool) = @_;

    for (1 .. 50) {
        my ($intent) = grep { ($_->{tool} || '') eq $tool
                              && $_->{verdict} eq 'PERMIT' }
                       reverse $t->audit_records('INTENT');

        if ($intent) {
            for ($t->audit_records('OUTCOME')) {
                return $_->{status} if $_->{intent}{seq} == $intent->{seq};
            }
        }

        sleep 0.05;
    }

    return 'none';
}
