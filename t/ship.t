#!/usr/bin/perl

# Guards what "armoriqctl audit ship" sends: every record of a log, in order, in
# the format of each collector, with its proof of identity and without a
# secret in any place where somebody may look.  What is expected is worked out
# from the records and from RFC 5424, RFC 6587 and the OTLP data model.

use strict;
use warnings;

use Digest::SHA qw/hmac_sha256_hex sha256_hex/;
use Encode qw/decode encode FB_CROAK/;
use FindBin;
use JSON::PP ();
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ::Ship;

my $json = JSON::PP->new->utf8->allow_nonref;
my $l = ArmorIQ::Ship->new();
my $dir = $l->dir();

# secrets: must be found nowhere but where they belong

my %canary = map { $_ => "canary-$_-" . sha256_hex("$_$$") }
    qw/hec client hmac hook otlp access/;

my %file = map { $_ => $l->secret("secret.$_", $canary{$_}) } keys %canary;

$l->append(30);

my ($syslog, @http) = ($l->syslog_sink('syslog'),
                       map { $l->http_sink($_) }
                       qw/splunk sentinel login hook array otlp/);
my %h = map { $_->{name} => $_ } @http;

$h{login}->tell('token {"token_type":"Bearer","expires_in":3600,'
                . qq("access_token":"$canary{access}"}));

my @sinks = (
    { name => 'syslog', type => 'syslog',
      url => "tcp://127.0.0.1:$syslog->{port}" },
    { name => 'splunk', type => 'splunk', url => $h{splunk}->url(),
      token_file => $file{hec}, index => 'audit' },
    { name => 'sentinel', type => 'sentinel', url => $h{sentinel}->url(),
      dcr => 'dcr-0123', stream => 'Custom-ArmorIQ',
      client_id => 'client-1', client_secret_file => $file{client},
      token_url => $h{login}->url('/tenant/oauth2/v2.0/token'),
      batch_records => 7 },
    { name => 'hook', type => 'webhook', url => $h{hook}->url('/in/?a=b'),
      hmac_file => $file{hmac}, token_file => $file{hook},
      token_header => 'X-Api-Key' },
    { name => 'array', type => 'webhook', url => $h{array}->url('/in'),
      format => 'array', batch_records => 4 },
    { name => 'otlp', type => 'otlp', url => $h{otlp}->url(),
      token_file => $file{otlp} },
);

my $metrics = "$dir/ship.prom";
my ($code, $said) = $l->ship(\@sinks, '--once', '--metrics', $metrics);

is($code, 0, 'all is delivered') or diag($said);
is($said, '', 'without a word');

cursors($l->last());
in_metrics($l->last());
syslog();
splunk();
sentinel();
hook();
array();
otlp();

# what is new, and only that

$l->rotate()->append(5);

($code, $said) = $l->ship(\@sinks, '--once', '--metrics', $metrics);
is($code, 0, 'once more') or diag($said);

cursors($l->last());
is(scalar(() = $syslog->messages()), $l->last(), 'syslog: none twice');
is_deeply([ map { $_->{seq} } hook_events('hook') ], [ 1 .. $l->last() ],
          'webhook: none twice');

($code) = $l->ship(\@sinks, '--once');
is($code, 0, 'nothing new');
is(scalar(() = $syslog->messages()), $l->last(), 'nothing is sent');

secrets();
wrong();

done_testing();


sub cursors {
    my ($n) = @_;

    for (@sinks) {
        my $c = $l->cursor($_->{name});

        is_deeply([ @$c{qw/seq leaf origin/} ],
                  [ $n, $l->leaf($n), $l->{origin} ],
                  "$_->{name}: the cursor is behind the last record");
    }
}

sub in_metrics {
    my ($n) = @_;
    my $text = ArmorIQ::Ship::slurp($metrics);

    my @bad = grep {
        !/^# (?:HELP|TYPE) armoriq_ship_[a-z_]+ \S/
        && !/^armoriq_ship_[a-z_]+(?:\{sink="[a-z]+"\})? [0-9.e+]+$/
    } split /\n/, $text;

    is_deeply(\@bad, [], 'metrics: lines as Prometheus has them');
    like($text, qr/^armoriq_ship_log_seq $n$/m, 'metrics: the log');

    for my $name (map { $_->{name} } @sinks) {
        my %v = $text =~ /^armoriq_ship_(\w+)\{sink="$name"\} (\S+)$/mg;

        is_deeply([ @v{qw/last_seq lag_records lag_seconds sent_total
                          failed_total dead_total/} ],
                  [ $n, 0, 0, $n, 0, 0 ], "metrics: $name");
        cmp_ok(abs($v{last_success_timestamp_seconds} - time), '<', 60,
               "metrics: $name was here");
    }

    is((stat $metrics)[2] & 0777, 0644, 'metrics: for everybody to read');
}

sub record { $json->decode($l->line($_[0])) }

# by the rules of RFC 5424 6

sub syslog {
    my @m = $syslog->messages();

    is(scalar(@m), $l->last(), 'syslog: a message for every record');

    my $name = qr/[\x21\x23-\x3c\x3e-\x5c\x5e-\x7e]{1,32}/;
    my $value = qr/(?:[^"\\\]]|\\["\\\]])*/;
    my $param = qr/$name="$value"/;
    my $bad = 0;

    for my $n (1 .. @m) {
        my $r = record($n);

        my ($pri, $ts, $host, $app, $proc, $msgid, $id, $params, $msg) =
            $m[$n - 1] =~ /\A<(\d{1,3})>1[ ]
                (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z)[ ]
                ([\x21-\x7e]{1,255})[ ] ([\x21-\x7e]{1,48})[ ]
                ([\x21-\x7e]{1,128})[ ] ([\x21-\x7e]{1,32})[ ]
                \[($name)((?:[ ]$param)*)\][ ]\xef\xbb\xbf(.*)\z/sx
            or $bad++, next;

        my %p = map { /^ ($name)="($value)"$/ ? ($1 => $2) : () }
            $params =~ /( $param)/g;

        $_ = decode('UTF-8', $_ =~ s/\\(["\\\]])/$1/gr, FB_CROAK)
            for values %p;

        my $user = ref $r->{user} ? undef : $r->{user};

        $bad++ if $ts ne $r->{ts} || $host ne 'proxy-1' || $app ne 'armoriq'
            || $msgid ne $r->{t} || $id ne 'armoriq@32473'
            || $msg ne $l->line($n) || $p{leaf} ne $l->leaf($n)
            || sha256_hex("\0$msg") ne $p{leaf} || $p{seq} != $n
            || $p{origin} ne $l->{origin} || $pri >> 3 != 13
            || ($pri & 7) != severity($r)
            || (defined $user && $p{user} ne $user =~ s/\n/?/r)
            || exists $p{user} != exists $r->{user};
    }

    is($bad, 0, 'syslog: every one as RFC 5424 has it') or diag($m[4]);
}

sub severity {
    my ($r) = @_;

    return { PERMIT => 6, DENY => 4, HOLD => 5 }->{$r->{verdict}}
        if $r->{t} eq 'INTENT';
    return 6 if $r->{t} =~ /^(?:OUTCOME|HEARTBEAT|OPEN|CLOSE|ROTATE)$/;
    return 4 if $r->{t} eq 'RECOVERY';
    return 5;
}

# one JSON object behind the other

sub splunk {
    my @r = $h{splunk}->requests();
    my @e = map { all_json($_->{body}) } @r;

    is($r[0]{line}, 'POST /services/collector/event HTTP/1.1',
       'splunk: where');
    is($r[0]{headers}{authorization}, "Splunk $canary{hec}", 'splunk: who');
    is(scalar(@e), $l->last(), 'splunk: an event for every record');

    is_deeply([ map { sprintf '%.6f', $_->{time} } @e ],
              [ map { unix(record($_)->{ts}) } 1 .. @e ], 'splunk: time');
    is_deeply([ map { $_->{event} } @e ], [ map { record($_) } 1 .. @e ],
              'splunk: the records');
    is_deeply([ map { $_->{fields}{leaf} } @e ],
              [ map { $l->leaf($_) } 1 .. @e ], 'splunk: the hashes');
    is_deeply([ @{$e[0]}{qw/host index source sourcetype/} ],
              [ 'proxy-1', 'audit', $l->{origin}, 'armoriq:audit' ],
              'splunk: the rest');
}

sub all_json { map { $json->decode($_) } split /\n/, $_[0] }

sub unix {
    my ($ts) = @_;
    require Time::Local;

    my ($y, $mo, $d, $h, $m, $s, $us) =
        $ts =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d+)Z$/;

    return Time::Local::timegm($s, $m, $h, $d, $mo - 1, $y) . ".$us";
}

sub sentinel {
    my @r = $h{sentinel}->requests();
    my @login = $h{login}->requests();
    my @rows = map { @{$json->decode($_->{body})} } @r;

    is(scalar(@login), 1, 'sentinel: one token for all requests');
    is($login[0]{body}, 'grant_type=client_credentials&client_id=client-1'
       . "&client_secret=$canary{client}"
       . '&scope=https%3A%2F%2Fmonitor.azure.com%2F.default',
       'sentinel: a form of RFC 6749');
    is($login[0]{headers}{'content-type'},
       'application/x-www-form-urlencoded', 'sentinel: which says so');

    is($r[0]{line}, 'POST /dataCollectionRules/dcr-0123/streams/'
       . 'Custom-ArmorIQ?api-version=2023-01-01 HTTP/1.1',
       'sentinel: where');
    is($r[0]{headers}{authorization}, "Bearer $canary{access}",
       'sentinel: with the token');
    cmp_ok(scalar(@{$json->decode($r[0]{body})}), '==', 7,
           'sentinel: batches as they were wanted');
    is(scalar(@rows), $l->last(), 'sentinel: a row for every record');

    my $bad = 0;

    for my $n (1 .. @rows) {
        my ($row, $r) = ($rows[$n - 1], record($n));

        $bad++ if $row->{TimeGenerated} ne $r->{ts} || $row->{Seq} != $n
            || $row->{Leaf} ne $l->leaf($n)
            || encode('UTF-8', $row->{Record}) ne $l->line($n)
            || $row->{RecordType} ne $r->{t}
            || ($row->{Verdict} || '') ne ($r->{verdict} || '')
            || ($row->{User} || '') ne ($r->{user} || '')
            || ($r->{t} eq 'OUTCOME' && $row->{HttpStatus} != 200)
            || ($r->{t} eq 'INTENT' && $row->{HttpMethod} ne 'POST')
            || ($r->{t} eq 'INTENT' && exists $row->{HttpStatus})
            || grep { ref && !JSON::PP::is_bool($_) } values %$row;
    }

    is($bad, 0, 'sentinel: flat, and what the records say');
}

sub hook_events {
    my ($name) = @_;

    return map {
        $name eq 'array' ? @{$json->decode($_->{body})} : all_json($_->{body})
    } $h{$name}->requests();
}

sub hook {
    my @r = $h{hook}->requests();
    my $h = $r[0]{headers};

    is($r[0]{line}, 'POST /in/?a=b HTTP/1.1', 'webhook: where');
    is($h->{'content-type'}, 'application/x-ndjson', 'webhook: lines');
    is($h->{'x-api-key'}, $canary{hook}, 'webhook: a header of its own');
    ok(!exists $h->{authorization}, 'webhook: and no other');

    my ($t, $mac) = $h->{'x-armoriq-signature'}
        =~ /^t=(\d+),v1=([0-9a-f]{64})$/;

    cmp_ok(abs($t - time), '<', 60, 'webhook: signed now');
    is($mac, hmac_sha256_hex("$t.$r[0]{body}", $canary{hmac}),
       'webhook: signed with the time');

    same_events('webhook', hook_events('hook'));

    is(scalar(() = $r[0]{body} =~ /\n/g), $l->last(),
       'webhook: a line each');
}

sub array {
    my @r = $h{array}->requests();

    is($r[0]{headers}{'content-type'}, 'application/json', 'array: JSON');
    ok(!exists $r[0]{headers}{'x-armoriq-signature'}, 'array: not signed');
    is(scalar(@{$json->decode($r[0]{body})}), 4, 'array: batches');

    same_events('array', hook_events('array'));
}

sub same_events {
    my ($name, @e) = @_;

    is_deeply([ map { [ @$_{qw/origin seq leaf record/} ] } @e ],
              [ map { [ $l->{origin}, $_, $l->leaf($_), record($_) ] }
                1 .. $l->last() ], "$name: every record with its hash");
}

# opentelemetry-proto, logs.proto, in the JSON of Protocol Buffers

sub otlp {
    my @r = $h{otlp}->requests();

    is($r[0]{line}, 'POST /v1/logs HTTP/1.1', 'otlp: where');
    is($r[0]{headers}{'content-type'}, 'application/json', 'otlp: JSON');
    is($r[0]{headers}{authorization}, "Bearer $canary{otlp}", 'otlp: who');

    my @logs = map { @{$json->decode($_->{body})->{resourceLogs}} } @r;
    my %res = map { $_->{key} => $_->{value}{stringValue} }
        @{$logs[0]{resource}{attributes}};

    is_deeply(\%res, { 'service.name' => 'armoriq', 'host.name' => 'proxy-1' },
              'otlp: the resource');
    is($logs[0]{scopeLogs}[0]{scope}{name}, 'armoriq.audit', 'otlp: scope');

    my @e = map { map { @{$_->{logRecords}} } @{$_->{scopeLogs}} } @logs;
    my $bad = 0;

    is(scalar(@e), $l->last(), 'otlp: a record for every record');

    my %number = (6 => 9, 5 => 10, 4 => 13);
    my %text = (6 => 'INFO', 5 => 'NOTICE', 4 => 'WARN');

    for my $n (1 .. @e) {
        my ($e, $r) = ($e[$n - 1], record($n));
        my %a = map { $_->{key} => $_->{value} } @{$e->{attributes}};
        my $odd = grep { keys %$_ != 1 } values %a;
        my $at = unix($r->{ts}) =~ s/\.//r . '000';
        my $known = join '|', qw/timeUnixNano observedTimeUnixNano body
            severityNumber severityText attributes/;

        $bad++ if $e->{timeUnixNano} ne $at || ref $e->{timeUnixNano}
            || $e->{observedTimeUnixNano} !~ /^\d{19}$/
            || $e->{observedTimeUnixNano} < $at
            || $e->{severityNumber} != $number{severity($r)}
            || $e->{severityText} ne $text{severity($r)}
            || encode('UTF-8', $e->{body}{stringValue}) ne $l->line($n)
            || $a{'armoriq.leaf'}{stringValue} ne $l->leaf($n)
            || $a{'armoriq.seq'}{intValue} ne $n
            || $a{'armoriq.origin'}{stringValue} ne $l->{origin}
            || ($r->{user} // '') ne ($a{'armoriq.user'}{stringValue} // '')
            || !!$r->{dry_run} != !!$a{'armoriq.dry_run'}{boolValue}
            || $odd || grep { !/^(?:$known)$/ } keys %$e;
    }

    is($bad, 0, 'otlp: as the data model has it');
}


# no secret in what is left behind, or said, or sent to somebody else

sub secrets {
    my $where = join '', map { ArmorIQ::Ship::slurp($_) }
        glob("$dir/state/*"), glob("$dir/ship.out.*"), $metrics,
        "$dir/ship.json";

    unlike($where, qr/canary/, 'no secret is written or said');

    my %mine = (splunk => [ 'hec' ], sentinel => [ 'access' ],
                login => [ 'client' ], hook => [ 'hook' ], otlp => [ 'otlp' ],
                array => []);

    for my $name (sort keys %mine) {
        my $sent = ArmorIQ::Ship::slurp("$dir/$name/requests");

        # what it was told to answer is not what was sent

        $sent =~ s/"told":"(?:[^"\\]|\\.)*"//g;

        is_deeply([ sort grep { $sent =~ /$canary{$_}/ } keys %canary ],
                  $mine{$name}, "$name: gets no secret but its own");
    }

    # one that repeats what it was sent, in an answer that is told

    $l->append(1);
    $h{hook}->tell("body you sent $canary{hook} and $canary{hmac}, did you?");

    my ($code, $said) = $l->ship([ $sinks[3] ], '--once');

    like($said, qr/you sent \*+ and \*+, did you/,
         'an answer is told without secrets');
    unlike($said . join('', map { ArmorIQ::Ship::slurp($_) }
                        glob "$dir/state/*"), qr/canary/,
           'nor are they put aside');

    $h{hook}->tell('ok');
}


# configurations that are refused, in a sentence

sub refused {
    my ($name, $sink, $like, $want) = @_;

    my ($code, $said) = $l->ship([ { name => 'x', type => 'webhook',
                                     url => 'https://192.0.2.1/', %$sink } ],
                                 '--once');

    is($code, $want || 2, "$name: refused");
    like($said, $like, "$name: and it says why");
    is(scalar(my @lines = $said =~ /\n/g), 1, "$name: in a line");
}

sub wrong {
    refused('name', { name => '../x' }, qr/letters, digits/);
    refused('type', { type => 'kafka' }, qr/needs a "type"/);
    refused('member', { batchrecords => 1 }, qr/has no member/);
    refused('member of another', { dcr => 'a' }, qr/has no member/);
    refused('number', { batch_records => 0 }, qr/from 1 to/);
    refused('scheme', { url => 'ftp://192.0.2.1/' }, qr/https:/);
    refused('plain', { url => 'http://192.0.2.1/' }, qr/allow_plain/);
    refused('nearly loopback', { url => 'http://127.0.0.1.example.com/' },
            qr/allow_plain/);
    refused('user', { url => 'https://u:canary@192.0.2.1/' },
            qr/user or a password/);
    refused('syslog by http', { type => 'syslog' }, qr/tls:/);
    refused('header', { token_header => "A: b" }, qr/token_header/);
    refused('certificate alone', { cert_file => '/x' }, qr/go together/);
    refused('needed', { type => 'splunk' }, qr/needs a "token_file"/);
    refused('sd_id', { type => 'syslog', url => 'tls://192.0.2.1',
                       sd_id => 'armoriq' }, qr/sd_id/);
    refused('no secret', { token_file => "$dir/none" }, qr/No such file/, 3);

    chmod 0640, $file{hook};
    refused('open secret', { token_file => $file{hook} }, qr/0600/, 3);
    chmod 0600, $file{hook};

    my $short = $l->secret('short', 'abc');
    refused('short key', { hmac_file => $short }, qr/too short/, 3);

    my $two = $l->secret('two', "abc\r\nX-Evil: 1");
    refused('two lines', { token_file => $two }, qr/one line/, 3);

    my ($code, $said) = $l->ship([ $sinks[4], $sinks[4] ], '--once');
    is($code, 2, 'two of a name: refused');

    ($code, $said) = $l->ship([], '--once');
    is($code, 2, 'no sinks: refused');

    my $file = $l->config([ $sinks[4] ]);
    chmod 0666, $file;
    ($code, $said) = $l->ship($file, '--once');
    is($code, 3, 'a configuration that everybody may change: refused');

    unlike(join('', map { ArmorIQ::Ship::slurp($_) } glob "$dir/ship.out.*"),
           qr/canary/, 'no secret was said');
}
