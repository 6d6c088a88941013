#!/usr/bin/perl

# Guards what payload=encrypted promises: the body of a call that is let
# through is beside the log before the call leaves, whole, as it was sent and
# for nobody to read who has not the salt of its org; a call whose body cannot
# be kept is refused; what was kept is found to have changed, and is gone when
# the org is forgotten.

use strict;
use warnings;

use Digest::SHA qw/sha256_hex/;
use Errno qw/EIO ENOSPC/;
use File::Find;
use FindBin;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Disk;
use ArmorIQ::Rows;


my $json = "Content-Type: application/json\r\n";
my ($token, $plan);

subtest 'as it was sent' => \&bodies;
subtest 'changed' => \&changed;
subtest 'forgotten' => \&forgotten;
subtest 'not kept' => \&disk;
subtest 'killed' => \&killed;
subtest 'not synced' => sub { bodies('durability=write') };

done_testing();


sub bodies {
    my ($more) = @_;

    start($more) or return;

    is(scalar(files()), 0, 'nothing is kept of a request for a token');

    my %big = (small => rpc('infra.scale', { n => 1 }),
               'in a temporary file' =>
                   rpc('infra.scale', { x => 'y' x 50000 }),
               'of 1 MB' => rpc('infra.scale', { x => "\x{e9}z" x 400000 }),
               'with a token' => rpc('infra.scale', { n => 2 },
                   _meta => { 'io.armoriq/intent-token' =>
                              $token->{jwt_token} }));

    for my $name (sort keys %big) {
        utf8::encode($big{$name}) if utf8::is_utf8($big{$name});

        my $headers = $name =~ /token/
            ? "Authorization: Bearer $key\r\n" : $auth;

        permitted("a body $name", send_body($big{$name}, $json . $headers));
        kept($name, $big{$name});
    }

    my $big = $big{small} =~ s/"id":1/"id":3/r;

    permitted('a chunked one', send_raw("POST /mcp HTTP/1.1\r\n$json$auth"
                                        . chunked($big)));
    kept('chunked', $big);

    my $invoked = $t->invoke('infra.list', {}, token => $token, plan => $plan);

    is($invoked->{status}, 200, '/invoke');
    like(payload(last_permit()), qr/"intent_token":/, 'is an envelope');

    my $n = files();

    is(send_body(rpc('infra.kill', {}), $json . $auth)->{status}, 409,
       'a denial');
    is(scalar(files()), $n, 'is not kept');
    ok(!exists last_of('STEP_NOT_PLANNED')->{payload}, 'says the record, too');
    hits();

    my $dry = rpc('infra.kill', { dry => 1 });

    permitted('a dry run', send_body($dry, $json . $auth, path => '/dry'));
    kept('dry run', $dry);
    is(last_permit()->{verdict}, 'DENY', 'it would have been refused');
    is(scalar(files()), $n + 1, 'one file for each');

    refused('a dry run of nobody', send_body($dry, $json, path => '/dry'),
            401, 'IDENTITY_MISSING');
    ok(!exists last_of('IDENTITY_MISSING')->{dry_run}, 'it has no key');

    send_body('', $auth, path => '/dry', method => 'GET');
    is(seen(), 1, 'what has no body');
    is(last_permit()->{http}, 'GET', 'is let through');
    ok(!exists last_permit()->{payload}, 'and has no payload');

    at_once();
    answers();
    modes();
    verified_payloads(0, 'all of them');
    is(($t->read('witness')) =~ tr/0//, 0, 'on disk before they left');
    ok(!grep { index(slurp($_), 'jsonrpc') >= 0 } files(), 'not to be read');
    is((grep { $_->{t} eq 'OPEN' } $t->audit_records())[0]{payload},
       'encrypted', 'OPEN says so');

    finish();
}


# more of them than there are threads for

sub at_once {
    my @bodies = map { rpc('infra.scale', { at_once => $_ }) } 1 .. 60;

    switch('slow', 20);

    my @calls = map { begin_call($_, $auth) } @bodies;
    my @bad = grep { http_parse(drain($_))->{status} != 200 } @calls;

    switch('slow', 0);
    is(scalar(@bad), 0, '60 at once');
    is(seen(), 60, 'all are served');

    my %by = map { $_->{req_h} => $_ } grep { $_->{req_h} } intents();

    is_deeply([ map { payload($by{$t->salted('body', $_)}) }
                @bodies[0, 17, 59] ], [ @bodies[0, 17, 59] ],
              'and each has its own');
}


# what the command says no to

sub answers {
    my $permit = last_with();
    my ($outcome) = $t->audit_records('OUTCOME');
    my ($deny) = grep { $_->{verdict} eq 'DENY' && !$_->{dry_run} } intents();

    is(payload($permit, rid => 1), payload($permit), 'by the id');

    for (['another org', qr/not of org/, '--seq', $permit->{seq},
          '--org', 'other'],
         ['no INTENT', qr/no INTENT/, '--seq', $outcome->{seq}],
         ['no record', qr/no INTENT/, '--seq', 1000000],
         ['no such id', qr/no INTENT/, '--rid', '0' x 32],
         ['a denial', qr/no payload/, '--seq', $deny->{seq}])
    {
        my ($name, $re, @args) = @$_;
        my ($code, $out, $err) = $t->ctl('audit', 'payload', $t->audit(),
            '--store', $t->store(), '--org', 'example', @args)
            if !grep { $_ eq '--org' } @args;

        ($code, $out, $err) = $t->ctl('audit', 'payload', $t->audit(),
            '--store', $t->store(), @args) if !defined $code;

        is("$code $out", '1 ', $name);
        like($err, $re, 'it says why');
    }

    is(($t->ctl('audit', 'payload', $t->audit(), '--org', 'example'))[0], 2,
       'which one?');
}


sub modes {
    my %mode;

    find({ no_chdir => 1, wanted => sub {
        $mode{sprintf '%s %04o', (-d) ? 'dir' : 'file', (stat)[2] & 07777}++;
    } }, $t->audit() . '/payload');

    is_deeply([ sort keys %mode ], [ 'dir 0700', 'file 0600' ], 'modes');
}


sub changed {
    start() or return;

    permitted('a call', call()) for 1 .. 4;
    $t->stop();

    my @calls = grep { $_->{payload} } intents();
    my @files = map { file($_) } @calls;
    my @text = map { slurp($_) } @files;

    verified_payloads(0, 'at first');

    # any byte: the label, the salt, the nonce, the body, the tag

    for my $at (0, 8, 11, 12, 23, 24, 60, -16, -1) {
        my $bad = $text[0];

        substr($bad, $at, 1) ^= "\x01";
        spew($files[0], $bad);
        is(broken($calls[0], qr/has changed/), '1 ', "byte $at");
        verified_payloads(27, "byte $at", qr/record $calls[0]{seq}: .*changed/);
    }

    spew($files[0], substr($text[0], 0, -1));
    verified_payloads(27, 'shorter');
    is(broken($calls[0], qr/as long as/), '1 ', 'shorter');

    # records and files of others

    spew($files[0], $text[1]);
    verified_payloads(27, 'that of another call');
    is(broken($calls[0], qr/has changed/), '1 ', 'that of another call');
    spew($files[0], $text[0]);

    unlink $files[2] or die;
    verified_payloads(27, 'missing', qr/is missing/);
    is(broken($calls[2], qr/is missing/), '1 ', 'missing');
    is(($t->audit_verify())[0], 0, 'who does not ask is not told');

    # a broken log counts for more

    my ($seg) = glob $t->audit() . '/seg-*';
    my $log = slurp($seg);

    spew($seg, $log =~ s/"verdict":"PERMIT"/"verdict":"permit"/r);
    is(($t->audit_verify('--payloads'))[0], 20, 'a broken record');
    spew($seg, $log);

    unlink @files[0, 1, 3];
    rmdir($t->audit() . "/payload/$calls[0]{payload}{day}") or die;

    like(verified_payloads(0, 'a day that is deleted'),
         qr/^payloads  0, of deleted days 4, missing or changed 0$/m,
         'is counted');
    is(broken($calls[0], qr/are deleted/), '1 ', 'deleted');
    finish();
}


sub forgotten {
    start() or return;

    my $body = body();

    permitted('a call', send_body($body, $json . $auth));

    my $old = last_with();

    is(payload($old), $body, 'is there');

    my $before = verified_payloads(0, 'before');

    $t->ctl_ok('org', 'forget', '--store', $t->store(), 'example', '--all');
    delete $t->{salts};

    is(broken($old, qr/is erased/), '1 ', 'forgotten');
    is(verified_payloads(0, 'after'), $before, 'verify says what it said');

    my $r;

    for (1 .. 50) {
        $body = body();
        $r = send_body($body, $json . $auth);
        last if last_with()->{salt} == 2;
        sleep 0.1;
    }

    hits();
    is($r->{status}, 200, 'another call');
    is(last_with()->{salt}, 2, 'another salt');
    is(payload(last_with()), $body, 'is there');
    is(broken($old, qr/is erased/), '1 ', 'the first one is not');
    verified_payloads(0, 'in the end');
    finish();
}


# payloads cannot be written, though records can

sub disk {
    start() or return;
    permitted('a call', call());

    my $once = rpc('infra.restart', { n => 1 });

    for my $error (ENOSPC, EIO) {
        my $n = files();

        $! = $error;
        my $name = "$!";

        switch('payload', $error);

        for my $body ($once, body()) {
            refused($name, send_body($body, $json . $auth), 503,
                    'AUDIT_UNAVAILABLE');
        }

        my $no = last_of('AUDIT_UNAVAILABLE', qr/\Q$name\E/);

        is($no->{verdict}, 'DENY', 'is recorded');
        like($no->{detail}, qr/cannot be written: \Q$name\E/, 'and why');
        refused('a dry run', send_body(rpc('infra.kill', {}), $json . $auth,
                path => '/dry'), 503, 'AUDIT_UNAVAILABLE');
        is($t->invoke('infra.list', {}, token => $token,
                      plan => $plan)->{status}, 503, '/invoke');
        is(send_body(rpc('infra.kill', {}), $json . $auth)->{why},
           'STEP_NOT_PLANNED', 'denials are as ever');
        is(scalar(files()), $n, 'no file is left');
        is(seen(), 0, 'nothing has left');
        switch('payload', 0);
    }

    recovers();

    # synced, or refused

    switch('sync', 1);
    is(call()->{status}, 503, 'no sync');
    is(seen(), 0, 'no call');
    like($t->read('error.log'), qr/payload cannot be kept: .*cannot be comple/,
         'not even a record of it');
    switch('sync', 0);
    recovers();

    # who has gone does not wait

    switch('slow', 700);

    my $gone = rpc('infra.restart', { n => 2 });
    my $s = begin_call($gone, $auth);

    sleep 0.3;
    close $s;
    sleep 1;
    switch('slow', 0);
    recovers();

    my $h = $t->salted('body', $gone);

    ok(!grep({ ($_->{req_h} || '') eq $h } intents()),
       'a client that has gone');

    # when the threads are done with it

    my $r;

    for (1 .. 50) {
        $r = send_body($gone, $json . $auth);
        last if $r->{status} == 200;
        sleep 0.1;
    }

    permitted('its step was not used', $r);
    permitted('nor that of a refusal', send_body($once, $json . $auth));
    refused('but now', send_body($once, $json . $auth), 409, 'STEP_USED');

    is(($t->read('witness')) =~ tr/0//, 0, 'on disk before they left');
    $t->stop();
    verified_payloads(qr/^(?:0|10)$/, 'in the end');
    $t->allow_alerts(qr/armoriq/);
    finish();
}


# a worker dies between the file and its record: a file too many, at worst

sub killed {
    start('', workers => 2) or return;
    $t->allow_alerts(qr/exited on signal 9|armoriq/);
    switch('slow', 30);

    for my $round (1 .. 6) {
        my @calls = map { begin_call(body(), $auth) } 1 .. 12;

        sleep 0.03 * $round;
        kill 'KILL', $t->workers();
        drain($_) for @calls;
    }

    switch('slow', 0);

    # what has left before is counted when the upstream gets to it

    my $r;

    for (1 .. 60) {
        $r = call();
        last if $r->{status} == 200;
        sleep 0.1;
    }

    is($r->{status}, 200, 'goes on by itself');
    $t->stop();
    is(($t->read('witness')) =~ tr/0//, 0, 'on disk before they left');

    my $out = verified_payloads(qr/^(?:0|10)$/, 'in the end');
    my $n = grep { $_->{payload} } intents();

    cmp_ok($n, '>', 0, "$n records");
    like($out, qr/^payloads  $n, of deleted days 0, missing or changed 0$/m,
         'each has its payload');
    ok(!grep({ $_->{verdict} eq 'PERMIT' && $_->{req_h} && !$_->{payload} }
             intents()), 'and none has none');
    cmp_ok(scalar(files()), '>=', $n, 'files');
    finish();
}


# an upstream that looks for the payload when a call comes

sub start {
    my ($more, %o) = @_;

    shim() or return;

    $t->{audit_options} = join ' ', 'payload=encrypted', $more || ();

    $key = $t->init_store(mcps => [ qw/infra-mcp dry-mcp/ ]);

    my $file = $t->dir() . '/witness';

    $t->salted('body', '');

    $t->upstream(answer => sub {
        my ($req) = @_;

        # an envelope has become a call, and a token was taken out

        return if $req->{body} !~ m{"tools/call"}
                  || $req->{body} =~ /infra\.list|"n":2\b/;

        my %h = map { $t->salted('body', $req->{body}, $_) => 1 }
                keys %{ $t->{salts} };
        my @found = grep { $_->{req_h} && $h{$_->{req_h}} } intents();

        open my $f, '>>', $file or die;
        syswrite $f, (grep { -e file($_) && sha256_hex(slurp(file($_)))
                             eq $_->{payload}{h} } @found) ? "1\n" : "0\n";

        return;
    });

    $t->run(<<'EOC', %o);
%%ARMORIQ%%

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;
    client_body_buffer_size 8k;
    armoriq_max_body 4m;
    client_max_body_size 4m;

    location / { armoriq_api on; }
    location = /invoke { armoriq on; armoriq_invoke on; }
    location = /mcp { armoriq on; armoriq_mcp infra-mcp;
                      proxy_pass http://infra/mcp; }
    location = /dry { armoriq on; armoriq_mcp dry-mcp; armoriq_dry_run on;
                      proxy_pass http://infra/mcp; }
}
EOC

    $plan = { goal => 'x', steps => [
        { action => 'infra.list', mcp => 'infra-mcp', params => {} },
        { action => 'infra.scale', mcp => 'infra-mcp', max_uses => 100000 },
        map { { action => 'infra.restart', mcp => 'infra-mcp',
                params => { n => $_ } } } 1 .. 3,
    ] };

    $token = $t->request_token(seconds => 3600, plan => $plan);
    ok($token->{success}, 'token') or die 'no token';

    $auth = "Authorization: Bearer $token->{jwt_token}\r\n";

    rows($t);

    return 1;
}

sub intents { $t->audit_records('INTENT') }

sub last_permit {
    return (grep { $_->{verdict} eq 'PERMIT' || $_->{dry_run} } intents())[-1];
}

# nobody waits for the record of a refusal

sub last_of {
    my ($reason, $detail) = @_;

    for (1 .. 100) {
        my ($r) = grep { $_->{reason} eq $reason
                         && (!$detail || ($_->{detail} || '') =~ $detail) }
                  reverse intents();

        return $r if $r;
        sleep 0.05;
    }

    return {};
}

sub last_with { (grep { $_->{payload} } intents())[-1] }

sub file {
    my ($r) = @_;

    return '' if !$r->{payload};

    return $t->audit() . "/payload/$r->{payload}{day}/$r->{rid}.req";
}

sub files { my @f = glob $t->audit() . '/payload/*/*'; return @f }

# what the command prints of the call of this INTENT

sub payload {
    my ($r, %o) = @_;

    return $t->ctl_ok('audit', 'payload', $t->audit(), '--store', $t->store(),
                      '--org', 'example', $o{rid} ? ('--rid', $r->{rid})
                                                  : ('--seq', $r->{seq}));
}

sub kept {
    my ($name, $body) = @_;
    my $r = last_permit();
    my $p = $r->{payload} || {};

    is($p->{len}, length $body, "$name: length");
    is($p->{h}, sha256_hex(slurp(file($r))), "$name: hash");
    ok(payload($r) eq $body, "$name: as it was sent");
}

# nothing is printed, and why; "1 "

sub broken {
    my ($r, $re) = @_;
    my ($code, $out, $err) = $t->ctl('audit', 'payload', $t->audit(),
        '--store', $t->store(), '--org', 'example', '--seq', $r->{seq});

    like($err, $re, 'it says why');

    return "$code $out";
}

# what verify says of payloads

sub verified_payloads {
    my ($want, $name, $re) = @_;
    my ($code, $out) = $t->audit_verify('--payloads');

    ref $want ? like($code, $want, "verify: $name")
              : is($code, $want, "verify: $name") or diag($out);
    like($out, $re, 'it says which') if $re;

    my ($line) = $out =~ /^(payloads .*)$/m;

    return $line;
}

sub slurp {
    my ($name) = @_;

    open my $f, '<:raw', $name or return '';
    local $/;

    return scalar(<$f>) // '';
}

sub spew {
    my ($name, $text) = @_;

    open my $f, '>:raw', $name or die "$name: $!";
    print $f $text;
    close $f or die "$name: $!";
}
