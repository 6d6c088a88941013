#!/usr/bin/perl

# Guards the change of the key that signs checkpoints: workers that run take
# the new one without a reload, nobody signs with the old one any more, and
# whoever has kept a key of the log can still verify all of it.  Signatures
# are checked by openssl.

use strict;
use warnings;

use FindBin;
use MIME::Base64;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Note;
use ArmorIQ::Rows;


my $json = "Content-Type: application/json\r\n";
my $number = 0;

my ($t, $auth);

plan(skip_all => 'openssl is missing') if !openssl();


subtest 'a new key' => \&new_key;
subtest 'no seed' => \&no_seed;
subtest 'refused' => \&refused_to;

done_testing();


sub new_key {
    begin();
    calls(5);
    wait_signed('all is signed');

    my $first = vkey_of($t);
    my $old = log_file($t, 'checkpoint');
    my $kept = $t->write('kept', $old);
    my $n = checkpoint($old)->{size};
    my $proof = prove(3);

    my ($code, $out, $err) = ctl('key', 'rotate', $t->audit(), '--json');
    my $r = json_value($out);

    is($code, 0, 'rotate') or diag($err);
    isnt($r->{vkey}, $first, 'another key');
    cmp_ok($r->{from}, '>=', $n, 'the old one has signed what there was');
    cmp_ok($r->{seq}, '>', $r->{from}, 'the KEY record is behind that');
    cmp_ok($r->{size}, '>=', $r->{seq}, 'and under the new one');

    is_deeply([ map { m{([^/]*)\z} } glob $t->store() . '/keys/audit*' ],
              [ 'audit-' . (split /\+/, $r->{vkey})[1] . '.seed' ],
              'the old seed is gone');

    # what declares it, as somebody outside reads it

    my $keys = log_file($t, 'keys');
    my $text = join "\n", 'armoriq-audit-key/v1', 'localhost/armoriq', $first,
                          $r->{vkey}, $r->{from}, '';

    like($keys, qr/\A\Q$text\E[A-Za-z0-9+\/]{43}=\n\n/, 'the file of keys');
    is(signed($t, $keys, $first), 1, 'signed by the old key');
    is(signed($t, $keys, $r->{vkey}), 1, 'and by the new one');

    my $rec = json_value((log_lines($t))[$r->{seq} - 1]);
    my $said = $rec->{note};

    utf8::encode($said);
    is_deeply([ $rec->{t}, $said ], [ 'KEY', $keys ], 'as the KEY record');

    # workers: no reload, no restart

    calls(5);
    wait_signed('signed on');

    my $new = log_file($t, 'checkpoint');

    is(signed($t, $new, $r->{vkey}), 1, 'by the new key');
    is(signed($t, $new, $first), 0, 'not by the old one');

    for (notes()) {
        my $cp = checkpoint($_);
        my $by = $cp->{size} > $r->{from} ? $r->{vkey} : $first;

        is(signed($t, $_, $by), 1, "over $cp->{size} by the key of that time");
    }

    verified();
    is(verify('--checkpoint', $kept), 0, 'with the checkpoint that was kept');
    is(verify('--vkey', $first), 0, 'with the first key');
    is(verify('--vkey', $r->{vkey}), 0, 'with the newest one');

    my $other = $first;
    $other =~ s/armoriq/armoriz/;
    is(verify('--vkey', $other), 2, 'another one is no key at all');

    # proofs before and behind

    my @log = log_lines($t);
    my $later = prove(scalar @log);
    my $file = $t->write('keys', $keys);

    is(check($proof, 3, $first), 0, 'an old proof by the old key');
    is(check($later, scalar @log, $first), 1, 'a new one is not by it');
    is(check($later, scalar @log, $r->{vkey}), 0, 'but by the new one');
    is(check($later, scalar @log, $first, '--keys', $file), 0,
       'which the file of keys vouches for');
    is(check($proof, 3, $r->{vkey}, '--keys', $file), 0, 'and for the old');
    is(check($proof, 4, $r->{vkey}, '--keys', $file), 1,
       'not for another record');

    # a second time, and a restart

    ($code, $out) = ctl('key', 'rotate', $t->audit(), '--json', '--keep');
    is($code, 0, 'rotate again');
    ok(-e $t->store() . '/keys/audit-' . (split /\+/, $r->{vkey})[1] . '.seed',
       'with the old seed kept');

    calls(2);
    $t->stop();
    $t->start();
    calls(2);
    $t->stop();

    is(signed($t, log_file($t, 'checkpoint'), json_value($out)->{vkey}), 1,
       'signed by the third key');
    verified();
    is(verify('--vkey', $_), 0, 'with a key of it')
        for $first, $r->{vkey}, json_value($out)->{vkey};

    ($code, $out) = ctl('key', 'list', $t->audit(), '--json');
    is_deeply([ map { $_->{vkey} } @{json_value($out)->{keys}}[0, 1] ],
              [ $first, $r->{vkey} ], 'list');
    is(scalar @{json_value($out)->{keys}}, 3, 'of three');

    end();
}


# workers that cannot read the new seed do not go on with the old one

sub no_seed {
    begin();
    $t->allow_alerts(qr/no checkpoint of the audit log can be made/);
    calls(3);
    wait_signed('all is signed');

    my ($code, $out) = ctl('key', 'rotate', $t->audit(), '--json');
    my $r = json_value($out);
    my $seed = $t->store() . '/keys/audit-' . (split /\+/, $r->{vkey})[1]
               . '.seed';

    is($code, 0, 'rotate');

    # which the workers have not seen yet, or have: both are fine

    rename $seed, "$seed.away" or die "$seed: $!";
    $t->reload();
    calls(3);
    sleep 2;

    is(checkpoint(log_file($t, 'checkpoint'))->{size}, $r->{size},
       'nothing is signed');
    is(verify(), 0, 'the log verifies');

    rename "$seed.away", $seed or die "$seed: $!";
    $t->reload();
    calls(3);
    wait_signed('with the seed it goes on');
    is(signed($t, log_file($t, 'checkpoint'), $r->{vkey}), 1, 'and signs');

    $t->stop();
    like($t->read('error.log'), qr/audit-[0-9a-f]{8}\.seed/, 'and said why');
    verified();
    end();
}


sub refused_to {
    $t = ArmorIQ->new();
    $t->init_store();

    is((ctl('key', 'rotate', $t->audit()))[0], 1, 'an empty log');
    is((ctl('key', 'list', $t->audit()))[0], 0, 'it has a key');
    is((ctl('key', 'forget', $t->audit()))[0], 2, 'no such thing');
    is((ctl('key', 'rotate', $t->dir()))[0], 3, 'no log');
    is_deeply([ glob $t->store() . '/keys/audit-*' ], [],
              'no seed is left behind');

    undef $t;
}


sub begin {
    $t = ArmorIQ->new();

    my $key = $t->init_store();

    $t->upstream();
    $t->run('armoriq_store ' . $t->store() . ";\narmoriq_audit "
            . $t->audit() . " checkpoint=1,16;\narmoriq_zone 8m;\n" . <<'EOF',

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
EOF
            workers => 2);

    rows($t);

    my $token = $t->issue_token(seconds => 600,
                                steps => [ [ 'infra.scale' ] ])->{jws};
    $auth = "X-API-Key: $key\r\nAuthorization: Bearer $token\r\n";
}

sub end {
    $t->finish();
    undef $t;
}

sub calls {
    my ($n) = @_;

    is(scalar(grep {
           send_body(rpc('infra.scale', { n => ++$number }), $json . $auth)
               ->{status} == 200
       } 1 .. $n), $n, "$n calls");
}

sub wait_signed {
    my ($name) = @_;

    for (1 .. 400) {
        return ok(1, $name)
            if checkpoint(log_file($t, 'checkpoint'))->{size}
               == log_lines($t);
        sleep 0.05;
    }

    return ok(0, $name);
}

sub ctl { $t->ctl('audit', @_, '--store', $t->store()) }

sub verify { ($t->audit_verify(@_))[0] }

sub verified {
    my ($code, $out) = $t->audit_verify();

    return ok($code == 0 || $code == 10, "audit verify: $code") || diag($out);
}

sub notes {
    return split /(?<=\n)(?=localhost\/armoriq\n)/,
                 log_file($t, 'checkpoints');
}

sub prove {
    my ($seq) = @_;
    my ($code, $text) = $t->ctl('audit', 'prove', $t->audit(), '--seq', $seq);

    is($code, 0, "a proof of record $seq");

    return $text;
}

sub check {
    my ($proof, $seq, $vkey, @more) = @_;
    my @log = log_lines($t);

    return ($t->ctl('audit', 'check', $t->write('a.tlog-proof', $proof),
                    '--vkey', $vkey, '--record',
                    $t->write('record', $log[$seq - 1]), @more))[0];
}
