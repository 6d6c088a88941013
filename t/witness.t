#!/usr/bin/perl

# Guards what witnesses are for: a log that was put back, cut off or forked is
# found out by somebody who has seen it before, also if he was killed in
# between; and a witness that is away stops nobody.  Cosignatures are verified
# by openssl.  What nginx makes of them is in witness_require.t.

use strict;
use warnings;

use FindBin;
use File::Temp qw/tempdir/;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Note;
use ArmorIQ::Ship;
use ArmorIQ::Witness;


my $unit = $ENV{ARMORIQ_UNIT} || "$FindBin::Bin/../build/unit";

my $t;

plan(skip_all => 'openssl is missing') if !openssl();
plan(skip_all => 'the unit tests are not built') if !-x "$unit/checkpoint";


subtest 'cosigned' => \&cosigned;
subtest 'a log that was put back' => \&put_back;
subtest 'killed behind its answer' => \&killed;
subtest 'requests' => \&requests;
subtest 'slow clients' => \&slow;
subtest 'witnesses that are away' => \&away;
subtest 'a witness that is slow' => \&late;
subtest 'two on one log' => \&two;
subtest 'over TLS' => \&tls;
subtest 'another key' => \&another_key;
subtest 'command lines' => \&command_lines;

done_testing();

# two witnesses, as somebody outside sees their signatures

sub cosigned {
    begin(300);

    my @w = map { witness($_) } 1, 2;
    my $list = join ' ', map { "$_->{url},$_->{vkey}" } @w;

    my ($code, $out) = cosign('--witness', $list, '--once', '--json');
    my $r = json_value($out);

    is_deeply([ $code, @$r{qw/size cosigned witnesses/} ], [ 0, 300, 2, 2 ],
              'cosign');

    my $note = log_file($t, 'cosigned');

    is(signed($t, $note, vkey_of($t)), 1, 'the log has signed it');
    is(checkpoint($note)->{size}, 300, 'all of it');

    for (@w) {
        my $when = signed($t, $note, $_->{vkey});

        ok($when > time() - 60 && $when < time() + 60, "$_->{vkey}, now");
    }

    ok($note =~ s/\n300\n/\n301\n/, 'with another size');
    is(signed($t, $note, $w[0]{vkey}), -1, 'it is not cosigned');

    # it grows: the witness has said what it has seen, and is shown a proof

    grow(500);
    is((cosign('--witness', $list, '--once', '--require', 2))[0], 0,
       'some records more');
    is(checkpoint(log_file($t, 'cosigned'))->{size}, 800, 'cosigned');

    # and once more, without tiles

    grow(2);
    system('rm', '-rf', $t->audit() . '/tile');
    is((cosign('--witness', $list, '--once', '--require', 2))[0], 0,
       'from the records alone');

    # what an auditor says of it

    my $kept = $t->write('kept', log_file($t, 'cosigned'));
    my @keys = map { $_->{vkey} } @w;

    ($code, $out) = verify('--checkpoint', $kept, '--witness', "@keys",
                           '--require', 2, '--json');
    $r = json_value($out);
    is_deeply([ $code, @$r{qw/covered witnesses cosigned/} ],
              [ 0, 802, 2, 2 ], 'verify: two of two');
    ok($r->{cosigned_at} > time() - 60, 'and when');

    my $third = witness(3);

    is((verify('--checkpoint', $kept, '--witness', "@keys $third->{vkey}",
               '--require', 2))[0], 0, 'two of three');
    is((verify('--checkpoint', $kept, '--witness', "@keys $third->{vkey}",
               '--require', 3))[0], 23, 'not three');

    my $bad = log_file($t, 'cosigned');

    $bad =~ s{(w1 .{20})(.)}{$1 . ($2 eq 'A' ? 'B' : 'A')}e;
    is((verify('--checkpoint', $t->write('bad', $bad), '--witness',
               "@keys"))[0], 23, 'a cosignature that was changed');

    end();
}


# what a witness is there for

sub put_back {
    begin(200);

    my $w = witness(1);
    my $arg = "$w->{url},$w->{vkey}";

    copy_log('at 200');
    grow(100);
    is((cosign('--witness', $arg, '--once'))[0], 0, 'cosigned at 300');

    my $honest = log_file($t, 'checkpoint');

    copy_log('at 300');

    # an old copy

    restore('at 200');
    is(checkpoint(log_file($t, 'checkpoint'))->{size}, 200, 'put back');

    my ($code, undef, $err) = cosign('--witness', $arg, '--once');

    is($code, 1, 'not cosigned');
    like($err, qr/ALERT: .*seen 300 records .* covers 200/, 'and said why');

    is_deeply([ ask($w, "old 200\n\n" . log_file($t, 'checkpoint')) ],
              [ 409, 'text/x.tlog.size', "300\n" ],
              'the witness says what it has seen');

    # other records, more than before: a fork

    other(50);
    is(checkpoint(log_file($t, 'checkpoint'))->{size}, 250, 'other records');
    is((cosign('--witness', $arg, '--once'))[0], 1, 'fewer: not cosigned');

    other(250);
    is((verify())[0], 0, 'the log by itself is whole');

    ($code, undef, $err) = cosign('--witness', $arg, '--once');

    is($code, 1, 'more: not cosigned');
    like($err, qr/ALERT: .*does not continue what the witness has seen/,
         'and said why');
    ok($w->{err}->() =~ /^armoriqctl: 422 localhost/m, 'by the witness, too');

    my $fork = log_file($t, 'checkpoint');

    is((ask($w, "old 300\n\n$fork"))[0], 422, 'no proof, no cosignature');
    is((ask($w, "old 0\n\n$fork"))[0], 409, 'nor from the beginning');

    # of the same size: both signed by the log, one cosigned

    restore('at 200');
    other(100);
    is(checkpoint(log_file($t, 'checkpoint'))->{size}, 300, 'a split view');
    is((ask($w, "old 300\n\n" . log_file($t, 'checkpoint')))[0], 422,
       'of the same size');
    is((cosign('--witness', $arg, '--once'))[0], 1, 'not cosigned');
    is((ask($w, "old 300\n\n$honest"))[0], 200, 'the honest one is');

    # whoever has the cosigned checkpoint finds it as well

    restore('at 300');

    my $kept = $t->write('kept', log_file($t, 'cosigned'));

    is((verify('--checkpoint', $kept, '--witness', $w->{vkey},
               '--require', 1))[0], 0, 'the right log');
    restore('at 200');
    is((verify('--checkpoint', $kept))[0], 22, 'put back');
    other(200);
    is((verify('--checkpoint', $kept))[0], 24, 'forked');

    # and the right one goes on

    restore('at 300');
    grow(10);
    is((cosign('--witness', $arg, '--once'))[0], 0, 'the right log goes on');

    end();
}


# what was answered is on disk

sub killed {
    begin(100);

    my $w = witness(1);
    my $n = 0;

    for my $round (1 .. 5) {
        my $note = log_file($t, 'checkpoint');
        my ($code, $out) = ctl('audit', 'consistency', $t->audit(), '--from',
                               $round == 1 ? 1 : $n);
        my ($proof) = $out =~ /\Aold \d+\n(.*?\n)?\n/s;

        $proof = '' if $round == 1 || !defined $proof;

        my $s = connect_to($w);
        my $body = "old $n\n$proof\n$note";

        print $s "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n"
                 . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

        sysread $s, my $head, 15;
        kill 'KILL', $w->{pid};

        is($head, 'HTTP/1.1 200 OK', "cosigned from $n, and killed");
        waitpid $w->{pid}, 0;

        $n = checkpoint($note)->{size};
        $w = witness(1);

        is_deeply([ ask($w, "old 0\n\n$note") ],
                  [ 409, 'text/x.tlog.size', "$n\n" ], "it remembers $n");
        grow(50);
    }

    # what is there, but is not what it has cosigned, is not nothing

    kill 'TERM', $w->{pid};
    waitpid $w->{pid}, 0;

    my ($file) = glob $w->{dir} . '/*.checkpoint';

    put_file($file, 'something');

    my ($code, undef, $err) = ctl('audit', 'witness', $w->{dir}, '--name',
                                  'example.com/w1', '--log', vkey_of($t),
                                  '--listen', '127.0.0.1:0');

    is($code, 3, 'with a broken state it does not start');
    like($err, qr/this is not what the witness has cosigned last/, 'and why');

    end();
}


# HTTP, as strict as it can be

sub requests {
    begin(10);

    my $w = witness(1);
    my $note = log_file($t, 'checkpoint');
    my $body = "old 0\n\n$note";
    my $n = length $body;
    my $head = "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n";

    for ([ 'GET', "GET /add-checkpoint HTTP/1.1\r\nHost: w\r\n\r\n", 405 ],
         [ 'another path', "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
           404 ],
         [ 'a query', "POST /add-checkpoint?x HTTP/1.1\r\n"
                      . "Content-Length: 1\r\n\r\nx", 404 ],
         [ 'no length', "$head\r\n", 411 ],
         [ 'two lengths', "${head}Content-Length: $n\r\n"
                          . "content-length: $n\r\n\r\n$body", 400 ],
         [ 'a signed length', "${head}Content-Length: +$n\r\n\r\n$body",
           400 ],
         [ 'a length with more', "${head}Content-Length: $n,$n\r\n\r\n$body",
           400 ],
         [ 'too long', "${head}Content-Length: 99999999\r\n\r\n", 413 ],
         [ 'chunked', "${head}Transfer-Encoding: chunked\r\n\r\n"
                      . "0\r\n\r\n", 400 ],
         [ 'compressed', "${head}Content-Encoding: gzip\r\n"
                         . "Content-Length: 1\r\n\r\nx", 400 ],
         [ 'a continued line', "${head}X: y\r\n z\r\nContent-Length: $n\r\n"
                               . "\r\n$body", 400 ],
         [ 'a blank before the colon', "${head}Content-Length : $n\r\n\r\n"
                                       . $body, 400 ],
         [ 'bare line feeds', "POST /add-checkpoint HTTP/1.1\n"
                              . "Content-Length: 1\n\nx\r\n\r\n", 400 ],
         [ 'HTTP/2', "POST /add-checkpoint HTTP/2.0\r\n"
                     . "Content-Length: 1\r\n\r\nx", 400 ],
         [ 'headers without end', $head . "X: y\r\n" x 2000, 431 ],
         [ 'no checkpoint', "${head}Content-Length: 1\r\n\r\nx", 400 ],
         [ 'a byte too few', "${head}Content-Length: " . ($n - 1)
                             . "\r\n\r\n$body", 400 ])
    {
        my ($name, $request, $status) = @$_;

        is(raw($w, $request), $status, $name);
    }

    my $other = $note;

    $other =~ s{localhost/armoriq}{localhost/other};
    is((ask($w, "old 0\n\n$other"))[0], 404, 'a log that it does not know');

    $other = $note;
    $other =~ s{\n10\n}{\n11\n};
    is((ask($w, "old 0\n\n$other"))[0], 403, 'a checkpoint that was changed');
    is((ask($w, "old 11\n\n$note"))[0], 400, 'from behind its end');
    is((ask($w, "old 0\n" . 'A' x 43 . "=\n\n$note"))[0], 422,
       'a proof from nothing');
    is_deeply([ glob $w->{dir} . '/*.checkpoint' ], [], 'no state of that');

    my ($status, undef, $line) = ask($w, $body);

    is($status, 200, 'as it should be');
    ok(signed($t, $note . $line, $w->{vkey}) > 0, 'a line that verifies');
    is(scalar(my @l = $line =~ /\n/g), 1, 'and nothing else');
    is((stat((glob $w->{dir} . '/*.checkpoint')[0]))[2] & 0777, 0600,
       'its state is its own');

    my ($code, undef, $err) = ctl('audit', 'witness', $w->{dir}, '--name',
                                  'example.com/w1', '--log', vkey_of($t),
                                  '--listen', '127.0.0.1:0');

    is($code, 1, 'a second one in its directory');
    like($err, qr/another witness uses/, 'does not start');

    end();
}


sub slow {
    begin(10);

    my $w = witness(1);
    my $body = "old 0\n\n" . log_file($t, 'checkpoint');
    my @idle = map { connect_to($w) } 1 .. 40;

    print $_ "POST /add-checkpoint HTTP/1.1\r\n" for @idle[0 .. 19];

    is((ask($w, $body))[0], 200, 'answered beside 40 that say nothing');

    # more than it has places: the rest waits until these are thrown out

    push @idle, map { connect_to($w) } 1 .. 40;

    my $begin = time();

    is((ask($w, "old 10\n\n" . log_file($t, 'checkpoint')))[0], 200,
       'and beside 80, later');
    cmp_ok(time() - $begin, '<', 60, 'but not much later');

    # a byte now and then

    my $s = connect_to($w);
    my $open = 1;

    $begin = time();
    local $SIG{PIPE} = 'IGNORE';

    while ($open && time() - $begin < 60) {
        syswrite $s, 'x';
        $open = 0 if IO::Select->new($s)->can_read(0.2)
                     && !sysread $s, my $buf, 16;
    }

    ok(!$open, 'one that sends a byte now and then is thrown out as well');

    end();
}


sub away {
    begin(100);

    my $w = witness(1);
    my $dead = free_port();
    my $mute = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1');
    my $liar = witness(2);
    my $k = (map { $_->{vkey} } witness(3))[0];
    my $l = (map { $_->{vkey} } witness(4))[0];

    my $some = "$w->{url},$w->{vkey} http://127.0.0.1:$dead,$k";

    my ($code, undef, $err) = cosign('--witness', $some, '--once');

    is($code, 0, 'one of two');
    like($err, qr/127\.0\.0\.1:$dead/, 'says which is away');
    is((cosign('--witness', $some, '--once', '--require', 2))[0], 1,
       'two of two are not');

    # what another witness has signed is not its signature

    ($code, undef, $err) = cosign('--witness', "$liar->{url},$l", '--once');
    is($code, 1, 'a witness that signs with another key');
    like($err, qr/the answer is not its cosignature/, 'is told apart');

    # one that accepts and never answers keeps nobody waiting

    unlink $t->audit() . '/cosigned';

    my $all = $some . ' http://127.0.0.1:' . $mute->sockport() . ",$l";
    my $begin = time();
    my $c = follow('--witness', $all, '--refresh', 1);

    wait_for(sub { -e $t->audit() . '/cosigned' }, 'cosigned beside them');
    cmp_ok(time() - $begin, '<', 8, 'at once');

    grow(20);
    wait_size(120, 'and the next one');
    grow(20);
    $begin = time();
    wait_size(140, 'and the next one');
    cmp_ok(time() - $begin, '<', 8, 'at once');

    # nothing new: cosigned again, later

    my $first = signed($t, log_file($t, 'cosigned'), $w->{vkey});

    wait_for(sub {
        my $note = log_file($t, 'cosigned');

        return signed($t, $note, $w->{vkey}) > $first;
    }, 'an idle log is cosigned again');

    # the witness goes, and comes back at the same place

    kill 'KILL', $w->{pid};
    waitpid $w->{pid}, 0;
    grow(10);
    wait_for(sub { $c->{err}->() =~ /\Q$w->{url}\E\S*: / }, 'it is missed');
    witness(1, port => $w->{port});
    wait_size(150, 'and asked again');
    like($c->{err}->(), qr/answers again/, 'which is said');
    cmp_ok(scalar(my @l = $c->{err}->() =~ /\n/g), '<', 10, 'and little else');

    ok(kill(0, $c->{pid}), 'it runs');
    end();
}


# what it answers to an older question is an answer: it is waited for again

sub late {
    begin(100);

    my @p = map { stand_in(witness($_)) } 1, 2;
    my ($quick, $slow) = @p;
    my $c = follow('--refresh', 86400, '--require', 2, '--witness',
                   join ' ', map { "$_->{url},$_->{w}{vkey}" } @p);

    # it fails once, and is slower than the others from then on

    let_go(asked($quick));
    close asked($slow)->{s};

    my $q = asked($slow);

    is($q->{covers}, 100, 'the slow one is asked again');
    grow(20);

    my $r = asked($quick);

    is($r->{covers}, 120, 'nobody waits for who has failed');
    let_go($r);
    let_go($q);

    $q = asked($slow);
    is_deeply([ @$q{qw/old covers/} ], [ 100, 120 ],
              'the late answer counts: asked from there');
    like($c->{err}->(), qr/answers again/, 'which is said');

    grow(20);
    ok(!asked($quick, 1.5), 'and it is waited for');

    let_go($q);
    wait_size(120, 'until it has cosigned');

    my $note = log_file($t, 'cosigned');

    is(scalar(grep { signed($t, $note, $_->{w}{vkey}) > 0 } @p), 2,
       'as the other one');

    my @q = map { asked($_) } @p;

    is_deeply([ map { $_->{covers} } @q ], [ 140, 140 ], 'then the next one');
    let_go($q[0]);

    # what is not its signature is no answer, of whatever question

    close $q[1]{s};
    $q = asked($slow);
    grow(20);
    let_go(asked($quick));

    let_go($q, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    wait_for(sub { $c->{err}->() =~ /the answer is not its cosignature/ },
             'something else is not taken');

    grow(20);
    is(asked($quick)->{covers}, 180, 'and it is not waited for');

    end();
}


# one of them would put back what the other has done

sub two {
    begin(10);

    my $w = witness(1);
    my @args = ('--witness', "$w->{url},$w->{vkey}");
    my $c = follow(@args);
    my $lock = $t->audit() . '/cosign.lock';

    wait_size(10, 'the first one runs');
    is((stat $lock)[2] & 0777, 0600, 'and has a lock');

    my ($code, undef, $err) = cosign(@args, '--once');

    is($code, 1, 'a second one on the same log');
    like($err, qr/another "audit cosign" works with "\Q@{[$t->audit()]}\E"/,
         'ends, and says why');

    end_child($c);
    is((cosign(@args, '--once'))[0], 0, 'when the first one has ended');

    unlink $lock;
    symlink $t->dir() . '/made', $lock or die "symlink: $!";
    is((cosign(@args, '--once'))[0], 3, 'not through a link');
    ok(!-e $t->dir() . '/made', 'which leads nowhere');

    end();
}


# not with a certificate that nobody knows, and nobody can read along

sub tls {
    begin(10);

    my $w = witness(1);
    my $other = ArmorIQ::Ship->new();
    my ($crt, $key) = $other->certificate('witness', 'IP:127.0.0.1');
    my $tls = $other->tls_sink('witness', $crt, $key);

    # a libcurl that is asked to would write the keys of the session there

    my $keys = $t->dir() . '/keys.log';
    local $ENV{SSLKEYLOGFILE} = $keys;

    my ($code, undef, $err) = cosign('--witness', "https://127.0.0.1:"
                                     . "$tls->{port},$w->{vkey}", '--once');

    is($code, 1, 'a certificate that nobody has signed');
    like($err, qr/certificate/, 'is why');
    ok(!-e $keys, 'no keys of TLS are written');

    end();
}


# the log changes its key: the witness must be told

sub another_key {
    begin(50);

    my $w = witness(1);
    my $arg = "$w->{url},$w->{vkey}";

    is((cosign('--witness', $arg, '--once'))[0], 0, 'the first key');

    my $first = vkey_of($t);
    my ($code, $out) = ctl('audit', 'key', 'rotate', $t->audit(), '--store',
                           $t->store(), '--json');
    my $new = json_value($out)->{vkey};

    is($code, 0, 'another one');

    ($code, undef, my $err) = cosign('--witness', $arg, '--once');
    is($code, 1, 'which the witness does not know');
    like($err, qr/does not know the key/, 'and says so');

    kill 'TERM', $w->{pid};
    waitpid $w->{pid}, 0;

    $w = witness(1, logs => "$first\n$new\n");
    is((cosign('--witness', "$w->{url},$w->{vkey}", '--once'))[0], 0,
       'now it does');

    my $note = log_file($t, 'cosigned');

    is(signed($t, $note, $new), 1, 'signed by the new key');
    ok(signed($t, $note, $w->{vkey}) > 0, 'and cosigned');

    end();
}


sub command_lines {
    begin(2);

    my $w = witness(1);
    my $dir = tempdir('witness-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $v = vkey_of($t);

    for ([ 'no witness', 'cosign', $t->audit() ],
         [ 'no list', 'cosign', $t->audit(), '--witness', ' ' ],
         [ 'no key', 'cosign', $t->audit(), '--witness', $w->{url} ],
         [ 'a file', 'cosign', $t->audit(), '--witness',
           "file:///etc/hostname,$w->{vkey}" ],
         [ 'a password', 'cosign', $t->audit(), '--witness',
           "http://a:b\@192.0.2.1,$w->{vkey}" ],
         [ 'the key of a log', 'cosign', $t->audit(), '--witness',
           "$w->{url},$v" ],
         [ 'one twice', 'cosign', $t->audit(), '--witness',
           "$w->{url},$w->{vkey} http://192.0.2.1,$w->{vkey}" ],
         [ 'more than there are', 'cosign', $t->audit(), '--witness',
           "$w->{url},$w->{vkey}", '--require', 2 ],
         [ 'no name', 'witness', $dir, '--log', $v ],
         [ 'a bad name', 'witness', $dir, '--log', $v, '--name', 'a+b' ],
         [ 'no key of a log', 'witness', $dir, '--log', 'x', '--name', 'w' ],
         [ 'one of a witness', 'witness', $dir, '--log', $w->{vkey},
           '--name', 'w' ],
         [ 'a host name', 'witness', $dir, '--log', $v, '--name', 'w',
           '--listen', 'localhost:0' ],
         [ 'no port', 'witness', $dir, '--log', $v, '--name', 'w',
           '--listen', '127.0.0.1' ])
    {
        my ($name, @args) = @$_;

        is((ctl('audit', @args))[0], 2, $name);
    }

    my ($code, $out) = ctl('audit', 'witness', "$dir/new", '--name',
                           'example.com/new');

    is($code, 0, 'without a log it prints its key');
    like($out, qr/^example\.com\/new\+[0-9a-f]{8}\+BA*\S+\n\z/, 'and ends');

    is((ctl('audit', 'witness', "$dir/new", '--name', 'example.com/new'))[1],
       $out, 'the same again');

    end();
}


sub verify { $t->audit_verify(@_) }

sub begin {
    $t = ArmorIQ->new();
    witnesses($t);
    a_log(@_);
}

sub end {
    end_children();
    undef $t;
}

sub ctl { $t->ctl(@_) }

# requests to a witness

sub connect_to {
    my ($w) = @_;

    return IO::Socket::INET->new(PeerAddr => "127.0.0.1:$w->{port}",
                                 Timeout => 10)
           || die "connect: $!";
}

sub exchange {
    my ($w, $request) = @_;
    my $s = connect_to($w);
    my $got = '';

    local $SIG{PIPE} = 'IGNORE';

    print $s $request;
    $s->flush();

    while (IO::Select->new($s)->can_read(40)) {
        sysread($s, $got, 65536, length $got) or last;
    }

    return $got;
}

sub raw {
    my ($status) = exchange(@_) =~ m{\AHTTP/1\.1 (\d{3}) };

    return $status;
}

# status, type, body

sub ask {
    my ($w, $body) = @_;
    my $got = exchange($w, "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n"
                           . 'Content-Length: ' . length($body)
                           . "\r\n\r\n$body");

    my ($status) = $got =~ m{\AHTTP/1\.1 (\d+) };
    my ($type) = $got =~ /\r\nContent-Type: ([^\r]*)\r\n/;
    my ($text) = $got =~ /\r\n\r\n(.*)\z/s;

    return ($status, $type, $text);
}

# somebody in front of a witness, who is in no hurry

sub stand_in {
    my ($w) = @_;
    my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
            || die "listen: $!";

    return { listen => $s, w => $w,
             url => 'http://127.0.0.1:' . $s->sockport() };
}

# the next question to it; nothing if there is none in so many seconds

sub asked {
    my ($p, $seconds) = @_;

    IO::Select->new($p->{listen})->can_read($seconds || 40) or return;

    my $s = $p->{listen}->accept();
    my $got = '';

    until ($got =~ /\r\nContent-Length: (\d+)\r\n(?:.*?\r\n)?\r\n(.*)\z/is
           && length($2) == $1)
    {
        IO::Select->new($s)->can_read(40)
            && sysread($s, $got, 65536, length $got) or die 'no question';
    }

    my ($old, $note) = $got =~ /\r\n\r\nold (\d+)\n(?:\S+\n)*\n(.*)/s;

    return { s => $s, w => $p->{w}, request => $got, old => $old,
             covers => checkpoint($note)->{size} };
}

sub let_go {
    my ($q, $answer) = @_;
    my $s = $q->{s};

    $answer = exchange($q->{w}, $q->{request}) if !defined $answer;

    print $s $answer;
    close $s;
}

sub free_port {
    my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');

    return $s->sockport();
}
