#!/usr/bin/perl

# Guards what is judged a second time: when the record of a call is on disk,
# the rules may have changed, and what they say by then is what the request is
# known by until its end, whoever replaces them meanwhile.  The name of the
# policy was once read from rules that another request had freed.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Disk qw/$t $key $auth shim switch/;
use ArmorIQ::Rows;


my $json = "Content-Type: application/json\r\n";

# what is freed does not look like what it was

$ENV{MALLOC_PERTURB_} = 165;

shim() or exit;

$key = $t->init_store(policy => undef);
policy('first');

my $go = $t->dir() . '/go';

$t->upstream(answer => sub {
    my ($req) = @_;

    if ($req->{body} =~ /"wait"/) {
        for (1 .. 1000) { last if -e $go; sleep 0.02 }
    }

    return;
});

$t->run(<<'CONF');
%%ARMORIQ%%

log_format named '$request_uri policy=$armoriq_policy $armoriq_verdict';
access_log %%DIR%%/named.log named;

upstream infra { server %%UPSTREAM%%; armoriq_guard; }

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq_api on; access_log off; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }
}
CONF

my $token = $t->request_token(seconds => 3600, plan => { goal => 'x',
    steps => [ { action => 'infra.scale', mcp => 'infra-mcp',
                 max_uses => 1000 } ] });

ok($token->{success}, 'token') or BAIL_OUT('no token');

$auth = "Authorization: Bearer $token->{jwt_token}\r\n";
rows($t);

permitted('a call', call('before'));

# the record is being written, and the policy is replaced by another one

switch('slow', 3000);

my $s = begin_call(rpc('infra.scale', { wait => 1 }), $auth,
                   path => '/mcp?waits');

sleep 0.3;
policy('second', 'first');
is(seen(), 0, 'a call waits for its record');

switch('slow', 0);
for (1 .. 500) { last if $t->calls() == 2; sleep 0.02 }
is($t->calls(), 2, 'it has left, judged by what is now');

# and the rules once more, by a request of somebody else, in the same worker

policy('third', 'second');
rows($t);

permitted('other calls', call($_)) for 1 .. 5;

open my $f, '>', $go or die "$go: $!";
close $f;

is(http_parse(drain($s))->{status}, 200, 'the first one ends');

$t->stop();

my @log = split /\n/, $t->read('named.log');
my ($waited) = grep { /waits/ } @log;

is($log[0], '/mcp?before policy=' . name('first') . ' PERMIT',
   'the policy of a call');
is($waited, '/mcp?waits policy=' . name('second') . ' PERMIT',
   'that of one that was judged twice');
is($log[-2], '/mcp?5 policy=' . name('third') . ' PERMIT',
   'that of the others');

my %by = map { $_->{seq} => $_->{policy} =~ s/@.*//r }
         $t->audit_records('INTENT');

is(join(' ', map { $by{$_} } sort { $a <=> $b } keys %by),
   join(' ', map { name($_) } qw/first first/, ('third') x 5),
   'INTENTs say by what they were permitted');

is(($t->audit_verify())[0], 0, 'audit verify');

$t->done_testing();


# long enough not to fit where the allocator keeps notes of its own

sub name { "$_[0]-" . 'x' x 60 }

sub policy {
    my ($new, $old) = @_;

    $t->add_policy({ name => name($new), allow => [ '*' ] });
    $t->ctl_ok('policy', 'remove', '--store', $t->store(), '--org',
               'example', name($old)) if $old;
}

sub call {
    my ($id) = @_;

    return send_body(rpc('infra.scale', { id => $id }), $json . $auth,
                     path => "/mcp?$id");
}
