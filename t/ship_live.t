#!/usr/bin/perl

# Guards "armoriqctl audit ship" beside nginx: what nginx writes arrives, byte
# for byte and in order, over segments, another key, a crash and a reload, while
# one collector is dead; and calls are served all the while.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Ship;

my $long = 30;
my $json = JSON::PP->new->utf8;

# port 1: nobody listens there

my $t = ArmorIQ->new(ports => 2);

$t->init_store();
$t->upstream();

my $audit = $t->audit();

$t->run(<<"EOF", workers => 2);
armoriq_store @{[ $t->store() ]};
armoriq_audit $audit rotate=64k checkpoint=1,16;
armoriq_zone 8m;

upstream infra { server %%UPSTREAM%%; armoriq_guard; }

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq_api on; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }
}
EOF

my $token = $t->request_token(seconds => 600, plan => {
    goal => 'list', steps => [ { action => 'infra.list', mcp => 'infra-mcp',
                                 params => {}, max_uses => 1000 } ] });

ok($token->{success}, 'token') or BAIL_OUT('no token');

my $l = ArmorIQ::Ship->new(log => $audit);
my $http = $l->http_sink('hook');
my $log = $l->syslog_sink('siem');

$l->start([
    { name => 'hook', type => 'webhook', url => $http->url(),
      batch_records => 50, backoff_max => 1 },
    { name => 'siem', type => 'syslog', backoff_max => 1,
      url => "tcp://127.0.0.1:$log->{port}" },
    { name => 'dead', type => 'otlp', backoff_max => 1,
      url => 'http://127.0.0.1:' . $t->port(1) },
]);

calls(60);
$t->ctl_ok('audit', 'rotate', $audit);
calls(10);
$t->ctl_ok('--store', $t->store(), 'audit', 'key', 'rotate', $audit);
calls(10);
$t->reload();
calls(10);
$t->crash();
$t->start();
calls(10);
$t->stop();

my @lines = lines();

cmp_ok(scalar(@lines), '>', 200, 'a log');
cmp_ok(scalar(my @segments = glob "$audit/seg-*.jsonl"), '>', 1,
       'in segments');

ok(ArmorIQ::Ship::wait_for(sub { events() >= @lines }, $long), 'webhook');
ok(ArmorIQ::Ship::wait_for(sub { $log->messages() >= @lines }, $long),
   'syslog');

# whoever reads the log writes nothing

my ($code, $said) = $l->stop();

is($code, 0, 'ends in peace');
like($said, qr/"dead": cannot deliver/, 'the dead one was tried');
unlike($said, qr/ALARM/, 'without alarm');

is_deeply([ map { $_->{seq} } events() ], [ 1 .. @lines ],
          'webhook: every record, once');
is_deeply([ map { $_->{record} } events() ],
          [ map { $json->decode($_) } @lines ], 'webhook: as it is');
is_deeply([ map { /\] \xef\xbb\xbf(.*)\z/s } $log->messages() ], \@lines,
          'syslog: every record, byte for byte');

# a crash may leave calls whose outcome is unknown

like(($t->audit_verify())[0], qr/^(?:0|10)$/, 'and the log is whole');

undef $l;
$t->done_testing();


sub calls {
    my ($n) = @_;
    my $bad = 0;

    for (1 .. $n) {
        my $r = $t->mcp_call('infra.list', {}, token => $token->{jwt_token});
        $bad++ if $r->{status} != 200;
    }

    is($bad, 0, "$n calls are served");
}

sub lines {
    return map { split /\n/, ArmorIQ::Ship::slurp($_) }
        sort glob "$audit/seg-*.jsonl";
}

sub events {
    return map { map { $json->decode($_) } split /\n/, $_->{body} }
        $http->accepted();
}
