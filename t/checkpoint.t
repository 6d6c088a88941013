#!/usr/bin/perl

# Guards what an auditor gets.  Proofs and checkpoints are verified here by
# the algorithms of RFC 9162 and by openssl, with nothing of ours but the
# bytes; a log that was cut off or written anew is found by whoever has kept a
# checkpoint; and nothing of that is in the way of a call.

use strict;
use warnings;

use Digest::SHA qw/sha256/;
use FindBin;
use MIME::Base64;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Rows;


my $json = "Content-Type: application/json\r\n";
my $unit = $ENV{ARMORIQ_UNIT} || "$FindBin::Bin/../build/unit";
my $owner = $$;
my $number = 0;

my ($t, $key, $token, $auth);

plan(skip_all => 'openssl is missing')
    if system('openssl version >/dev/null 2>&1') != 0;


subtest 'known answers' => \&known;
subtest 'a call and its proof' => \&call_and_proof;
subtest 'one chain' => \&one_chain;
subtest 'a worker that is to go' => \&old_worker;
subtest 'an old checkpoint' => \&old_checkpoint;
subtest 'not covered yet' => \&not_covered;
subtest 'no key' => \&no_key;
subtest 'no room' => \&no_room;
subtest 'configuration' => \&configuration;
subtest 'a million records' => \&million;

done_testing();


# this file's own verifier

sub known {
    my $vkey = 'example.com/foo+530d903a+'
               . 'AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
    my $note = "This is an example message.\n\n\xe2\x80\x94 example.com/foo "
               . 'Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ER'
               . "YNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    $t = ArmorIQ->new();

    ok(note_ok($note, $vkey), 'the example of C2SP');
    $note =~ s/example m/Example m/;
    ok(!note_ok($note, $vkey), 'with one letter changed');

    # trees of one to 40 leaves, as RFC 9162 2.1 defines them

    my @leaf = map { leaf($_) } 1 .. 40;
    my $bad = 0;

    for my $n (1 .. 40) {
        my $root = mth(@leaf[0 .. $n - 1]);

        for my $m (0 .. $n - 1) {
            my @p = path($m, @leaf[0 .. $n - 1]);

            $bad++ if !inclusion_ok($m, $n, $leaf[$m], $root, @p)
                      || inclusion_ok($m, $n, $leaf[($m + 1) % 40], $root,
                                      @p)
                      || inclusion_ok($m, $n + 1, $leaf[$m], $root, @p, '');
        }
    }

    is($bad, 0, 'inclusion in trees of up to 40');

    undef $t;
}


# what a client has: headers of its answer, and what it asks for later

sub call_and_proof {
    begin('checkpoint=1,64');

    my $r = call();
    my ($origin, $seq) = ($r->{headers}{'x-armoriq-record'} || '')
                         =~ m{^(.*)/(\d+)$};

    is($r->{status}, 200, 'a call');
    is($origin, 'localhost/armoriq', 'X-ArmorIQ-Record: the log');

    my @lines = lines();
    my $intent = json_value($lines[$seq - 1]);

    is_deeply([ @$intent{qw/seq t verdict tool/} ],
              [ $seq, 'INTENT', 'PERMIT', 'infra.scale' ],
              'and the number of the INTENT');
    is($r->{headers}{'x-armoriq-leaf'}, unpack('H*', leaf($lines[$seq - 1])),
       'X-ArmorIQ-Leaf');
    is(() = $r->{raw} =~ /^x-armoriq-(?:record|leaf):/mgi, 2,
       'what the upstream says of it is not passed on');

    my $d = send_body(rpc('infra.kill', {}), $json . $auth);

    is_deeply([ $d->{why}, $d->{headers}{'x-armoriq-record'} ],
              [ 'STEP_NOT_PLANNED', undef ], 'nothing in a refusal');

    my $p = wait_proof($seq);

    is($p->{status}, 200, 'the proof') or diag($p->{raw});
    is($p->{headers}{'content-type'}, 'text/plain; charset=utf-8',
       'is a text');
    ok(proof_ok($p->{body}, $seq, pack('H*', $r->{headers}{'x-armoriq-leaf'})),
       'that verifies');
    ok(!proof_ok($p->{body}, $seq, leaf('x')), 'not for another record');
    ok(!proof_ok($p->{body}, $seq + 1, leaf($lines[$seq - 1])),
       'nor for another number');

    is(check($p->{body}, $seq), 0, 'armoriqctl audit check');
    is(check($p->{body}, $seq + 1), 1, 'of another record');

    my $head = http_parse(http($t->port(), "/armoriq/audit/proof?seq=$seq",
                               method => 'HEAD'));

    is_deeply([ $head->{status}, $head->{body} ], [ 200, '' ], 'HEAD');

    for ([ '', 400 ], [ '?seq=', 400 ], [ '?seq=0', 400 ],
         [ '?seq=01', 400 ], [ '?seq=-1', 400 ], [ '?seq=1x', 400 ],
         [ '?seq=99999999999999999', 400 ], [ '?seq=9999999999999999', 404 ],
         [ "?seq=$seq", 405, 'POST' ], [ "?seq=$seq", 405, 'DELETE' ])
    {
        my ($args, $status, $method) = @$_;

        is(http_parse(http($t->port(), "/armoriq/audit/proof$args",
                           method => $method || 'GET'))->{status}, $status,
           ($method || 'GET') . " proof$args: $status");
    }

    # the tiles as they are served, without any proof

    call() for 1 .. 300;

    $t->stop();

    my $cp = checkpoint(slurp('checkpoint'));
    my @leaf = map { leaf($_) } lines();

    is($cp->{size}, scalar @leaf, 'at the end all is signed');
    is(unpack('H*', $cp->{root}), unpack('H*', mth(@leaf)),
       'the root is that of RFC 9162 2.1.1');
    is(slurp('tile/0/000'), join('', @leaf[0 .. 255]), 'a full tile');
    ok(!-e $t->audit() . '/tile/0/000.p', 'its parts are gone');

    my $w = @leaf % 256;

    is(slurp('tile/0/00' . int(@leaf / 256) . ".p/$w"),
       join('', @leaf[@leaf - $w .. $#leaf]), 'a partial tile');
    is(unpack('H*', substr slurp('tile/1/000.p/' . int(@leaf / 256)), 0, 32),
       unpack('H*', mth(@leaf[0 .. 255])), 'and the head of the full one');

    my $bad = 0;

    for my $n (1, 2, 255, 256, 257, @leaf / 2, @leaf - 1, scalar @leaf) {
        my ($code, $text) = $t->ctl('audit', 'prove', $t->audit(), '--seq',
                                    int $n);

        $bad++ if $code || !proof_ok($text, int $n, $leaf[int($n) - 1]);
    }

    is($bad, 0, 'armoriqctl audit prove');

    verified();
    end();
}

# proofs of a record, when one can be had

sub wait_proof {
    my ($seq) = @_;
    my $p;

    for (1 .. 200) {
        $p = http_parse(http($t->port(), "/armoriq/audit/proof?seq=$seq"));
        last if $p->{status} != 404;
        sleep 0.05;
    }

    return $p;
}

sub check {
    my ($proof, $seq) = @_;
    my @lines = lines();

    my ($code) = $t->ctl('audit', 'check', $t->write('a.tlog-proof', $proof),
                         '--vkey', vkey(), '--record',
                         $t->write('record', $lines[$seq - 1] . "\n"));

    return $code;
}


# several workers, a reload, a kill and a start: each checkpoint continues the
# one before

sub one_chain {
    begin('checkpoint=1,16', 3);
    $t->allow_alerts(qr/exited on signal 9/);

    calls(60);
    $t->reload();
    calls(60);
    kill 'KILL', ($t->workers())[0];
    sleep 0.3;
    calls(30);
    $t->crash();
    $t->start();
    calls(60);

    my $kept = slurp('checkpoint');

    wait_for(sub { checkpoint(slurp('checkpoint'))->{size} == lines() },
             'in a while all is signed');

    calls(20);
    $t->stop();
    verified();

    my @notes = notes();
    my @leaf = map { leaf($_) } lines();
    my ($bad, $n, %root) = (0, 0);

    cmp_ok(scalar @notes, '>=', 5, scalar(@notes) . ' checkpoints');

    for (@notes) {
        my $cp = checkpoint($_);

        $bad++ if !note_ok($_, vkey()) || $cp->{size} < $n
                  || $cp->{root} ne mth(@leaf[0 .. $cp->{size} - 1]);

        $n = $cp->{size};
        $root{$n} = $cp->{root};
    }

    is($bad, 0, 'each is signed, and right');
    is($n, scalar @leaf, 'the last one covers all');
    is(slurp('checkpoint'), $notes[-1], 'and is the newest');

    # from every one to every later one; those that come first, say

    my @sizes = (sort { $a <=> $b } keys %root)[0 .. 9];

    @sizes = grep { defined } @sizes;
    ($bad, $n) = (0, 0);

    for my $i (0 .. $#sizes) {
        for my $j ($i .. $#sizes) {
            my ($m1, $m2) = @sizes[$i, $j];
            my ($code, $text) = $t->ctl('audit', 'consistency', $t->audit(),
                                        '--from', $m1, '--to', $m2);
            my ($old, $hashes, $note)
                = $text =~ /^old (\d+)\n((?:\S+\n)*)\n(.*)\z/s;

            $n++;
            $bad++ if $code || $old != $m1
                || checkpoint($note)->{size} != $m2
                || !consistency_ok($m1, $m2, $root{$m1}, $root{$m2},
                                   map { decode_base64($_) }
                                       split /\n/, $hashes);
        }
    }

    is($bad, 0, "$n proofs of consistency");

    my ($code) = $t->ctl('audit', 'consistency', $t->audit(), '--from',
                         @leaf + 1);

    is($code, 1, 'none from what is not there');
    ok(!consistency_ok(3, 5, leaf('a'), leaf('b'), leaf('c')),
       'what is none does not verify');

    end();
}


# it may have calls for hours, and nobody else writes meanwhile

sub old_worker {
    begin('checkpoint=1');

    my ($old) = $t->workers();
    my @calls = map { begin_call(rpc('infra.scale', { wait => $_ }), $auth) }
                qw/first second/;

    wait_for(sub { $t->calls() == 2 }, 'two calls');
    $t->reload();
    wait_for(sub { $t->read('error.log') =~ /gracefully shutting down/ },
             'their worker is to go');
    wait_for(\&signed_all, 'all is signed');

    $t->write('first', '');
    is(http_parse(drain($calls[0]))->{status}, 200, 'one call ends');
    wait_for(sub { $t->audit_records('OUTCOME') == 1 }, 'that is recorded');
    wait_for(\&signed_all, 'and signed');
    ok(scalar(grep { $_ == $old } $t->workers()), 'by the old worker');

    $t->write('second', '');
    is(http_parse(drain($calls[1]))->{status}, 200, 'the other one ends');
    wait_for(sub { !grep { $_ == $old } $t->workers() },
             'nothing keeps the worker then');
    wait_for(\&signed_all, 'all is signed');

    $t->stop();
    is(verify(), 0, 'audit verify');
    end();
}

sub signed_all {
    my $note = slurp('checkpoint') or return 0;

    return checkpoint($note)->{size} == lines();
}


# a copy of the newest checkpoint is all that is kept elsewhere

sub old_checkpoint {
    begin('checkpoint=1');

    calls(5);
    $t->stop();

    my $kept = $t->write('kept', slurp('checkpoint'));
    my ($seg) = segments();
    my $all = slurp($seg);
    my $notes = slurp('checkpoints');
    my $n = () = $all =~ /\n/g;

    is(verify('--checkpoint', $kept, '--vkey', vkey()), 0, 'as it was');

    # all that is there is cut off, and what says so is put back

    for my $i (1 .. $n - 1) {
        my $part = join '', (split /(?<=\n)/, $all)[0 .. $i - 1];

        put($seg, $part);
        is(verify(), 22, "the log ends with record $i") if $i == $n - 1;

        put('checkpoint', '');
        unlink map { $t->audit() . "/$_" } qw/checkpoint checkpoints/;

        my $code = verify();

        ok($code == 0 || $code == 10, 'nothing is seen')
            if $i == $n - 1;

        is(verify('--checkpoint', $kept), 22, "but with what was kept: $i");

        put('checkpoint', slurp_file($kept));
        put('checkpoints', $notes);
    }

    put($seg, $all);
    is(verify('--checkpoint', $kept), 0, 'as it was');

    # a byte of the last record, which is in no chain

    (my $changed = $all) =~ s/(.*)"how":/$1"haw":/s;
    isnt($changed, $all, 'a byte of the CLOSE');

    put($seg, $changed);
    is(verify('--checkpoint', $kept), 24, 'is seen: the root is another');
    put($seg, $all);

    # written anew, with the key: only what was kept knows better

    unlink map { $t->audit() . "/$_" } qw/checkpoint checkpoints/, $seg;
    system('rm', '-rf', $t->audit() . '/tile');

    $t->start();
    calls(9);
    $t->stop();

    is(verify(), 0, 'a log that was written anew');
    is(verify('--checkpoint', $kept), 24, 'is another one');

    # signatures

    my $wrong = slurp('checkpoint');
    my ($sig) = $wrong =~ /(\S+)\n\z/;
    my $bytes = decode_base64($sig);

    substr($bytes, -1) ^= "\1";
    substr($wrong, -length($sig) - 1) = encode_base64($bytes, '') . "\n";

    is(verify('--checkpoint', $t->write('wrong', $wrong)), 23,
       'a wrong signature');
    is(verify('--checkpoint', $t->write('wrong', "none\n")), 23,
       'none at all');
    is(verify('--vkey', 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54I'
                        . 'd2LKaANYcrnKv3U2k'), 23, 'another key');
    is(verify('--vkey', 'x'), 2, 'no key');

    put('checkpoint', $wrong);
    is(verify(), 23, 'a wrong one in the log');

    # and nginx does not go on behind it

    put('checkpoint', slurp_file($kept));
    put('checkpoints', slurp_file($kept));
    is(verify(), 24, 'one of another log');

    $t->start();
    calls(3);

    wait_for(sub { $t->read('error.log')
                   =~ /no checkpoint of the audit log can be made/ },
             'nginx says so');
    is(slurp('checkpoint'), slurp_file($kept), 'and signs nothing more');
    is(call()->{status}, 200, 'calls go on');

    $t->stop();
    $t->allow_alerts(qr/no checkpoint of the audit log/);
    end();
}


sub not_covered {
    begin('checkpoint=3600,1000');

    my $r = call();
    my ($seq) = $r->{headers}{'x-armoriq-record'} =~ m{/(\d+)$};
    my $p = http_parse(http($t->port(), "/armoriq/audit/proof?seq=$seq"));

    is_deeply([ $p->{status}, $p->{json}{error} ], [ 404, 'NOT_COVERED' ],
              'no proof yet');

    my ($code, $out) = $t->ctl('audit', 'checkpoint', $t->audit(), '--store',
                               $t->store());

    is($code, 0, 'armoriqctl audit checkpoint');
    ok(note_ok($out, vkey()), 'prints it');

    $p = http_parse(http($t->port(), "/armoriq/audit/proof?seq=$seq"));
    ok(proof_ok($p->{body}, $seq, pack 'H*', $r->{headers}{'x-armoriq-leaf'}),
       'now there is one');

    # tiles that are wrong prove nothing, and are made anew

    my ($tile) = glob $t->audit() . '/tile/0/000.p/*';

    spew($tile, 'x' x -s $tile);

    $p = http_parse(http($t->port(), "/armoriq/audit/proof?seq=$seq"));
    is($p->{status}, 503, 'a wrong tile');

    ($code, $out) = $t->ctl('audit', 'prove', $t->audit(), '--seq', $seq);
    ok($code == 0 && proof_ok($out, $seq, pack 'H*',
                              $r->{headers}{'x-armoriq-leaf'}),
       'armoriqctl reads the records');

    is(($t->ctl('audit', 'checkpoint', $t->audit(), '--store', $t->store(),
                '--rebuild'))[0], 0, 'armoriqctl audit checkpoint --rebuild');
    is(http_parse(http($t->port(), "/armoriq/audit/proof?seq=$seq"))
       ->{status}, 200, 'and there is one again');

    call();
    $t->stop();

    is(checkpoint(slurp('checkpoint'))->{size}, scalar(my @l = lines()),
       'the end of the log is signed');
    verified();
    end();
}


sub no_key {
    begin('checkpoint=1', 1, sub {
        rename $t->store() . '/keys/audit.seed', $t->dir() . '/seed' or die;
    });

    is(call()->{status}, 200, 'a call');
    like(call()->{headers}{'x-armoriq-record'}, qr{^localhost/armoriq/\d+$},
         'with its number');

    sleep 1.5;
    $t->stop();

    my $log = $t->read('error.log');

    is(() = $log =~ /\[warn\].*no checkpoints of the audit log/g, 1,
       'one warning');
    ok(!-e $t->audit() . '/checkpoint', 'no checkpoint');
    is(verify(), 0, 'the log is as it was');
    is(($t->ctl('audit', 'checkpoint', $t->audit(), '--store', $t->store()))
       [0], 3, 'armoriqctl has no key either');

    # the key of another log is none

    is(system('cp', (glob $t->store() . '/keys/*.seed')[0],
              $t->store() . '/keys/audit.seed'), 0, 'another seed');
    $t->start();
    calls(2);
    sleep 1.5;
    $t->stop();

    like($t->read('error.log'), qr/seed is not that of the newest key/,
         'the key of somebody else');
    ok(!-e $t->audit() . '/checkpoint', 'no checkpoint');

    end();
}


# what cannot be signed is written all the same, and signed later

sub no_room {
    begin('checkpoint=1,8');

    calls(10);
    wait_for(sub { -e $t->audit() . '/checkpoint' }, 'a checkpoint');

    my $tile = $t->audit() . '/tile';

    rename $tile, "$tile.away" or die;
    spew($tile, '');

    my $n = checkpoint(slurp('checkpoint'))->{size};

    for (1 .. 20) {
        is(call()->{status}, 200, 'a call') if $_ == 1;
        call();
        sleep 0.1;
    }

    cmp_ok(checkpoint(slurp('checkpoint'))->{size}, '<=', $n + 2,
           'nothing is signed');
    is(() = $t->read('error.log') =~ /no checkpoint of the audit log can/g, 1,
       'which is said once');

    unlink $tile;
    rename "$tile.away", $tile or die;

    wait_for(sub { call(); checkpoint(slurp('checkpoint'))->{size} > $n + 2 },
             'it goes on by itself');
    $t->stop();

    verified();
    $t->allow_alerts(qr/no checkpoint of the audit log can be made/);
    end();
}


sub configuration {
    $t = ArmorIQ->new();
    $t->init_store();

    for ([ 'checkpoint=off' ], [ 'checkpoint=1' ], [ 'checkpoint=3600,1' ],
         [ 'checkpoint=10,1000000 durability=write' ],
         [ 'durability=fsync checkpoint=off' ])
    {
        is((config($_->[0]))[0], 0, $_->[0]);
    }

    for (map { "checkpoint$_" } '', '=', '=0', '=3601', '=on', '=1,', '=1,0',
             '=1,1000001', '=,5', '=1s', '=-1')
    {
        my ($code, $text) = config($_);

        ok($code == 1 && $text =~ /invalid parameter "$_"/, $_)
            or diag($text);
    }

    undef $t;

    begin('checkpoint=off');
    calls(3);
    sleep 1.2;
    $t->stop();

    ok(!-e $t->audit() . '/checkpoint', 'off');
    unlike($t->read('error.log'), qr/checkpoint/, 'without a word');
    end();
}

sub config {
    my ($audit) = @_;

    $t->configure('armoriq_store ' . $t->store() . ";\narmoriq_audit "
                  . $t->audit() . " $audit;\narmoriq_zone 8m;\n"
                  . "server { listen 127.0.0.1:%%PORT0%%;\n"
                  . "location /armoriq/audit/proof {\n"
                  . "    armoriq_audit_proof on; } }\n");

    return $t->check_config();
}


sub million {
    if (!-x "$unit/checkpoint") {
        plan(skip_all => "no $unit/checkpoint");
    }

    if ($ENV{TEST_NGINX_PRELOAD} || `nm $unit/checkpoint 2>&1` =~ /__asan/) {
        plan(skip_all => 'under a sanitizer');
    }

    my $n = 1000000;

    $t = ArmorIQ->new();
    $t->init_store();

    is(system("$unit/checkpoint", 'fill', $t->audit(), $n), 0,
       "$n records");
    is(($t->ctl('audit', 'checkpoint', $t->audit(), '--store', $t->store()))
       [0], 0, 'are signed');

    my ($code, $out) = $t->audit_verify('--json');
    my $r = json_value($out);

    is_deeply([ $code, @$r{qw/records covered unknown/} ], [ 0, $n, $n, 0 ],
              'and verified');
    cmp_ok($r->{rate}, '>', 0, "$r->{rate} records a second");
    diag("verify: $n records, $r->{rate} a second");

    for my $seq (1, 256, 65537, 777777, $n) {
        my ($code, $text) = $t->ctl('audit', 'prove', $t->audit(), '--seq',
                                    $seq, '--json');
        my $p = json_value($text);

        utf8::encode($p->{text});

        ok(proof_ok($p->{text}, $seq, pack 'H*', $p->{leaf}),
           "a proof of record $seq");
    }

    undef $t;
}


# nginx

sub begin {
    my ($audit, $workers, $before) = @_;

    $t = ArmorIQ->new();
    $key = $t->init_store();
    $before->() if $before;

    my $dir = $t->dir();

    $t->upstream(answer => sub {
        my ($req) = @_;

        if ($req->{body} =~ /"wait":"(\w+)"/) {
            for (1 .. 600) {
                last if -e "$dir/$1";
                sleep 0.05;
            }
        }

        return [ 200, "Content-Type: application/json\r\n"
                      . "x-armoriq-record: example.com/1\r\n"
                      . "X-ArmorIQ-LEAF: 00\r\n",
                 '{"jsonrpc":"2.0","id":1,"result":{}}' ];
    });

    $t->run('armoriq_store ' . $t->store() . ";\narmoriq_audit "
            . $t->audit() . " $audit;\narmoriq_zone 8m;\n" . <<'EOF',

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

    location = /armoriq/audit/proof { armoriq_audit_proof on; }
}
EOF
            workers => $workers || 1);

    rows($t);

    $token = $t->issue_token(seconds => 600,
                             steps => [ [ 'infra.scale' ] ])->{jws};
    $auth = "X-API-Key: $key\r\nAuthorization: Bearer $token\r\n";
}

sub end {
    $t->finish();
    undef $t;
}

sub call {
    return send_body(rpc('infra.scale', { n => ++$number }), $json . $auth);
}

sub calls {
    my ($n) = @_;

    is(scalar(grep { call()->{status} == 200 } 1 .. $n), $n, "$n calls");
}

sub wait_for {
    my ($what, $name) = @_;

    for (1 .. 400) {
        return ok(1, $name) if $what->();
        sleep 0.05;
    }

    return ok(0, $name);
}

# whole, but calls of a killed process may be unknown

sub verified {
    my ($code, $out) = $t->audit_verify();

    return ok($code == 0 || $code == 10, "audit verify: $code") || diag($out);
}

sub verify { ($t->audit_verify(@_))[0] }


# files of the log

sub slurp_file {
    open my $f, '<:raw', $_[0] or return '';
    local $/;

    return scalar <$f>;
}

sub slurp { slurp_file($t->audit() . "/$_[0]") }

sub spew {
    my ($name, $data) = @_;

    open my $f, '>:raw', $name or die "$name: $!";
    chmod 0600, $name;
    print $f $data;
    close $f or die "$name: $!";
}

sub put { spew($t->audit() . "/$_[0]", $_[1]) }

sub segments {
    return map { s{.*/}{}r } sort glob $t->audit() . '/seg-*.jsonl';
}

sub lines { map { split /\n/, slurp($_) } segments() }

sub notes { split /(?<=\n)(?=localhost\/armoriq\n)/, slurp('checkpoints') }

sub vkey { json_value(slurp('log.json'))->{vkeys}[0] }


# RFC 9162 2.1, and C2SP notes

sub leaf { sha256("\0$_[0]") }

sub mth {
    my @d = @_;

    return sha256('') if !@d;
    return $d[0] if @d == 1;

    my $k = 1;
    $k *= 2 while $k * 2 < @d;

    return sha256("\1" . mth(@d[0 .. $k - 1]) . mth(@d[$k .. $#d]));
}

# 2.1.3.1

sub path {
    my ($m, @d) = @_;

    return if @d == 1;

    my $k = 1;
    $k *= 2 while $k * 2 < @d;

    return $m < $k ? (path($m, @d[0 .. $k - 1]), mth(@d[$k .. $#d]))
                   : (path($m - $k, @d[$k .. $#d]), mth(@d[0 .. $k - 1]));
}

# 2.1.3.2

sub inclusion_ok {
    my ($index, $size, $r, $root, @path) = @_;

    return 0 if $index >= $size;

    my ($fn, $sn) = ($index, $size - 1);

    for my $p (@path) {
        return 0 if $sn == 0;

        if ($fn & 1 || $fn == $sn) {
            $r = sha256("\1$p$r");

            if (!($fn & 1)) {
                do { $fn >>= 1; $sn >>= 1 } until $fn & 1 || $fn == 0;
            }

        } else {
            $r = sha256("\1$r$p");
        }

        $fn >>= 1;
        $sn >>= 1;
    }

    return $sn == 0 && $r eq $root;
}

# 2.1.4.2; equal sizes need no proof

sub consistency_ok {
    my ($first, $second, $root1, $root2, @path) = @_;

    return $root1 eq $root2 && !@path if $first == $second;
    return 0 if !@path || $first > $second;

    unshift @path, $root1 if ($first & ($first - 1)) == 0;

    my ($fn, $sn) = ($first - 1, $second - 1);

    while ($fn & 1) {
        $fn >>= 1;
        $sn >>= 1;
    }

    my $fr = shift @path;
    my $sr = $fr;

    for my $c (@path) {
        return 0 if $sn == 0;

        if ($fn & 1 || $fn == $sn) {
            $fr = sha256("\1$c$fr");
            $sr = sha256("\1$c$sr");

            if (!($fn & 1)) {
                do { $fn >>= 1; $sn >>= 1 } until $fn & 1 || $fn == 0;
            }

        } else {
            $sr = sha256("\1$sr$c");
        }

        $fn >>= 1;
        $sn >>= 1;
    }

    return $sn == 0 && $fr eq $root1 && $sr eq $root2;
}

sub checkpoint {
    my ($note) = @_;
    my ($origin, $size, $root) = split /\n/, defined $note ? $note : '';

    return { origin => $origin || '', size => $size || 0,
             root => decode_base64($root || '') };
}

# one signature, by openssl

sub note_ok {
    my ($note, $vkey) = @_;
    my ($name, $id, $key) = split /\+/, $vkey, 3;
    my ($text, $by, $sig) = $note =~ /\A(.*\n)\n\xe2\x80\x94 (\S+) (\S+)\n\z/s
        or return 0;

    $key = decode_base64($key);
    $sig = decode_base64($sig);

    return 0 if $by ne $name || length $key != 33 || length $sig != 68
                || unpack('H*', substr sha256("$name\n$key"), 0, 4) ne $id
                || unpack('H*', substr $sig, 0, 4) ne $id;

    # SubjectPublicKeyInfo of RFC 8410

    my $der = $t->write('key.der', pack('H*', '302a300506032b6570032100')
                                   . substr $key, 1);
    my $in = $t->write('note.text', $text);
    my $file = $t->write('note.sig', substr $sig, 4);

    return system("openssl pkeyutl -verify -pubin -inkey $der -keyform DER"
                  . " -rawin -in $in -sigfile $file >/dev/null 2>&1") == 0;
}

sub proof_ok {
    my ($text, $seq, $leaf) = @_;

    my ($index, $hashes, $note) = $text
        =~ m{\Ac2sp\.org/tlog-proof\@v1\nindex (\d+)\n((?:\S+\n)*)\n(.*)\z}s
        or return 0;

    my $cp = checkpoint($note);

    return $index == $seq - 1 && note_ok($note, vkey())
           && $cp->{origin} eq (split /\+/, vkey())[0]
           && inclusion_ok($index, $cp->{size}, $leaf, $cp->{root},
                           map { decode_base64($_) } split /\n/, $hashes);
}
