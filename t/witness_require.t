#!/usr/bin/perl

# Guards armoriq_audit_witness: with "require" nothing is done that witnesses
# have not seen for too long, whatever is put in the way, and it goes on when
# they are back; without it a line in the log is all.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Note;
use ArmorIQ::Rows;
use ArmorIQ::Witness;


my $json = "Content-Type: application/json\r\n";
my $number = 0;

my ($t, $auth);


subtest 'calls depend on it' => \&depends;
subtest 'it looks only' => \&looks;

done_testing();


# require=1: no witness, no calls; and back

sub depends {
    $t = ArmorIQ->new(ports => 2);

    witnesses($t);

    my $key = $t->init_store();
    my $w = witness(1);

    $t->upstream();
    $t->allow_alerts(qr/witness|cosigned/);
    nginx($key, "armoriq_audit_witness $w->{vkey} require=1 max_age=10s;");

    refused('nobody has cosigned anything', call(), 503,
            'AUDIT_UNAVAILABLE');

    my $d = json_value((grep { /"AUDIT_UNAVAILABLE"/ } wait_lines())[-1]);

    is_deeply([ @$d{qw/t verdict/} ], [ 'INTENT', 'DENY' ], 'it is recorded');
    like($d->{detail}, qr/no checkpoint that 1 witnesses have cosigned/,
         'with the reason');

    my $c = follow('--witness', "$w->{url},$w->{vkey}", '--refresh', 1);

    wait_for(sub { call()->{status} == 200 }, 'cosigned: calls pass');
    hits();

    is(scalar(grep { call()->{status} == 200 } 1 .. 20), 20, 'all of them');
    hits();
    permitted('a dry run', dry_run());

    # idle for longer than max_age, and fresh all the same

    sleep 11;
    hits();
    permitted('an idle log stays fresh', call());

    # away

    kill 'KILL', $w->{pid};
    waitpid $w->{pid}, 0;

    permitted('just away', call());
    wait_for(sub { call()->{status} == 503 }, 'away: calls are refused');
    hits();
    refused('each of them', call(), 503, 'AUDIT_UNAVAILABLE');
    refused('a dry run as well', dry_run(), 503, 'AUDIT_UNAVAILABLE');
    refused('a denial is one', send_body(rpc('infra.kill', {}),
                                         $json . $auth), 409,
            'STEP_NOT_PLANNED');

    $t->reload();
    refused('after a reload', call(), 503, 'AUDIT_UNAVAILABLE');

    $w = witness(1, port => $w->{port});
    wait_for(sub { call()->{status} == 200 }, 'back: calls pass');
    hits();
    permitted('all of them', call());

    # what is cosigned does not become younger by being written again

    end_child($c);

    my $old = log_file($t, 'cosigned');

    wait_for(sub {
        put_file($t->audit() . '/cosigned', $old);
        call()->{status} == 503;
    }, 'an old one once more is not fresh');

    # nor by somebody else's signature

    my $x = witness(2);

    is((cosign('--witness', "$x->{url},$x->{vkey}", '--once'))[0], 0,
       'another witness');
    sleep 2;
    hits();
    refused('is none', call(), 503, 'AUDIT_UNAVAILABLE');

    $t->stop();

    my $log = $t->read('error.log');
    my $late = () = $log =~ /younger than 10 seconds: calls are refused/g;
    my $again = () = $log =~ /are cosigned again/g;

    cmp_ok($late, '<=', 4, "said when it changes: $late");
    is($again, 2, 'both ways');

    my ($code, $out) = $t->audit_verify();

    ok($code == 0 || $code == 10, 'audit verify') or diag($out);
    end();
}


# without require= it only says so; and a log that was put back is found here

sub looks {
    $t = ArmorIQ->new(ports => 2);

    witnesses($t);

    my $key = $t->init_store();
    my $w = witness(1);

    $t->upstream();
    $t->allow_alerts(qr/cosigned/);
    nginx($key, "armoriq_audit_witness $w->{vkey} max_age=10s;");

    permitted('without witnesses', call());
    like($t->read('error.log'), qr/\[warn\].* younger than 10 seconds\n/,
         'which is said');

    wait_for(sub { -e $t->audit() . '/checkpoint' }, 'a checkpoint');
    is((cosign('--witness', "$w->{url},$w->{vkey}", '--once'))[0], 0,
       'cosigned');
    wait_for(sub { $t->read('error.log') =~ /are cosigned again/ },
             'which is said');

    $t->stop();
    copy_log('early');
    $t->start();
    permitted('more calls', call()) for 1 .. 3;
    $t->stop();
    is((cosign('--witness', "$w->{url},$w->{vkey}", '--once'))[0], 0,
       'cosigned');

    my $ahead = log_file($t, 'cosigned');

    restore('early');
    put_file($t->audit() . '/cosigned', $ahead);
    $t->start();
    wait_for(sub { $t->read('error.log') =~ /the log was put back/ },
             'a log that is behind what was cosigned');

    $t->stop();
    end();
}


sub nginx {
    my ($key, $witness) = @_;

    $t->run('armoriq_store ' . $t->store() . ";\narmoriq_audit "
            . $t->audit() . " checkpoint=1;\narmoriq_zone 8m;\n$witness\n"
            . <<'EOF', workers => 2);

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;

    armoriq_step_uses off;
    armoriq on;

    location = /mcp {
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }
}

server {
    listen 127.0.0.1:%%PORT1%%;

    armoriq on;
    armoriq_dry_run on;

    location = /mcp {
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }
}
EOF

    rows($t);

    my $token = $t->issue_token(seconds => 600,
                                steps => [ [ 'infra.scale' ] ])->{jws};
    $auth = "X-API-Key: $key\r\nAuthorization: Bearer $token\r\n";
}

sub call {
    return send_body(rpc('infra.scale', { n => ++$number }), $json . $auth);
}

# what is denied, but let through

sub dry_run {
    return send_body(rpc('infra.kill', {}), $json . $auth, port => 1);
}

# records of denials are written behind the answer

sub wait_lines {
    for (1 .. 100) {
        my @l = log_lines($t);

        return @l if grep { /"AUDIT_UNAVAILABLE"/ } @l;
        sleep 0.05;
    }

    return log_lines($t);
}

sub end {
    end_children();
    $t->finish();
    undef $t;
}
