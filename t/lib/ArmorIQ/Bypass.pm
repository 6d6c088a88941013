package ArmorIQ::Bypass;

# Drives the bypass matrix: 64 numbered ways around the decision, each in
# several variants.  A variant is one request, sent over HTTP/1.1 and HTTP/2
# where it can be sent both ways; it names the status and reason that must
# come back and how many requests may reach a server behind the walls.
#
#     my $b = ArmorIQ::Bypass->new($t, 'bypass_roads', jws => ..., key => ...);
#
#     $b->add(17, 'case variant', [ 403, 'ENFORCEMENT_BYPASS', 0 ],
#             uri => '/MCP');
#     $b->drive();                # with the walls
#     $b->finish($conf, 20);      # records, numbers, docs; then without walls
#
# Of a variant: uri, method, who (good, evil, nobody, key, none), headers
# (more of them), only_headers (no others), body, raw (bytes of HTTP/1.1, or
# sub), h2 (sub of the variant, for frames), v => [1] or [2], before (sub),
# check (sub of the answer), wait (seconds more for what must not come),
# control (a call that must pass: shows that the road is there), nginx (it is
# refused by nginx itself), skip_off (not sent without the walls), leaves (a
# refusal that the client does not see leaves this record), cut (an answer
# whose end is missing), or_nginx (some versions of nginx refuse it).

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;
use Test::More ();
use Time::HiRes qw/sleep time/;

use ArmorIQ;
use ArmorIQ::HTTP2;

our @EXPORT = qw/call rpc_text h1_head chunks h2_open docs_rows rows_of
                 has_lint walls_off %ROWS/;

# which file has which row, and why one cannot be sent over both versions

our %ROWS = (
    (map { $_ => [ 'bypass_roads' ] } 1 .. 21, 45, 46, 56, 64),
    (map { $_ => [ 'bypass_framing' ] } 22 .. 35, 43, 44, 47 .. 51, 53, 54,
                                        57),
    (map { $_ => [ 'bypass_mcp' ] } 36 .. 42, 52, 58 .. 60, 63),
    (map { $_ => [ 'bypass_wait' ] } 55, 61, 62),
);

my %only = (
    14 => 'none: a configuration that must not parse',
    22 => '1: HTTP/2 has neither chunks nor two lengths',
    23 => '1: there are no chunks in HTTP/2',
    24 => '1: chunk trailers; those of HTTP/2 are B53',
    25 => '1: there are no chunks in HTTP/2',
    26 => '1: other versions of the text protocol',
    27 => '1: streams of HTTP/2 have no bytes behind their end',
    48 => '1: HTTP/2 forbids what HTTP/1.1 folds or repeats',
    51 => '1: HTTP/2 has no Connection header',
    53 => '2: frames and pseudo-headers',
);

$ROWS{$_}[1] = $only{$_} || '' for 1 .. 64;

my $top = do { my $t = $INC{'ArmorIQ/Bypass.pm'}; $t =~ s{[^/]+$}{}; $t };


sub new {
    my ($class, $t, $file, %o) = @_;

    return bless {
        t => $t, file => $file, variants => [], seen => {}, versions => {},
        outcomes => {}, rids => {}, offsets => {}, total => {}, logs => [],
        %o,
    }, $class;
}

sub add {
    my ($self, $n, $name, $want, %o) = @_;

    push @{ $self->{variants} }, { n => $n, name => $name, want => $want,
                                   %o };
}

sub rows_of {
    my ($file) = @_;

    return sort { $a <=> $b } grep { $ROWS{$_}[0] eq $file } keys %ROWS;
}


# requests

sub call {
    my ($tool, $args) = @_;

    return rpc_text('tools/call', { name => $tool,
                                    arguments => $args || {} });
}

sub rpc_text {
    my ($method, $params) = @_;

    return json_text({ jsonrpc => '2.0', id => 1, method => $method,
                       $params ? (params => $params) : () });
}

sub h1_head {
    my ($self, $uri, %o) = @_;

    return ($o{method} || 'POST') . " $uri HTTP/1.1\r\nHost: a\r\n"
        . ($o{keep} ? '' : "Connection: close\r\n")
        . $self->headers(\%o);
}

sub chunks {
    my ($body, $size) = @_;

    return join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
                    unpack '(a' . ($size || 16) . ')*', $body;
}

sub headers {
    my ($self, $v) = @_;
    my $who = $v->{who} || 'good';

    return $v->{only_headers} if defined $v->{only_headers};

    return "Content-Type: application/json\r\n"
        . ($who eq 'good' || $who eq 'evil'
           ? "Authorization: Bearer $self->{jws}\r\n" : '')
        . ($who eq 'key' ? "X-API-Key: $self->{key}\r\n" : '')
        . ($v->{headers} || '');
}

sub body {
    my ($self, $v) = @_;

    return $v->{body} if exists $v->{body};
    return undef if ($v->{method} || 'POST') =~ /^(?:GET|HEAD|DELETE)$/;
    return call(($v->{who} || '') eq 'evil' ? 'evil' : 'call');
}

sub send {
    my ($self, $v, $version) = @_;
    my $t = $self->{t};

    return $v->{h2}->($self, $v) if $version == 2 && $v->{h2};

    my @request = ($v->{uri} || '/mcp', method => $v->{method} || 'POST',
                   body => $self->body($v), headers => $self->headers($v));
    my $shift = $v->{port} || 0;

    return h2($t->port($shift + 1), @request,
              timeout => $self->{timeout} || 5) if $version == 2;

    local $ENV{TEST_NGINX_TIMEOUT} = $self->{timeout} || 5;

    if ($v->{raw}) {
        my @raw = ref $v->{raw} eq 'CODE' ? $v->{raw}->($self, $v)
                                          : $v->{raw};

        return $raw[0] if ref $raw[0];
        return http_parse(http_raw($t->port($shift), @raw));
    }

    return http_parse(http($t->port($shift), @request, host => $v->{host}));
}

# A connection of HTTP/2 that takes frames as they are; what http_parse()
# returns comes from h2_open(...)->().  The request is the pseudo-headers and
# headers given, in that order and spelling.

sub h2_open {
    my ($port, $headers, $frames, %o) = @_;

    my $sock = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
                                     Timeout => 5)
        or return http_parse('');

    local $SIG{PIPE} = 'IGNORE';

    my $s = { sock => $sock, in => '', status => 0, body => '', done => 0,
              window => 65535, initial => 65535, all => 65535,
              end => time() + ($o{timeout} || 2) };

    my $block = join '', map { ArmorIQ::HTTP2::literal(@$_) } @$headers;

    $s->{out} = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        . ArmorIQ::HTTP2::frame(4, 0, 0)
        . ArmorIQ::HTTP2::frame(1, defined $o{flags} ? $o{flags} : 4, 1,
                                $block);

    for (@$frames) {
        my ($type, $flags, $data) = @$_;

        if ($type eq 'wait') {
            ArmorIQ::HTTP2::pump($s, 0.05);
            sleep $flags;
            next;
        }

        # something that happens meanwhile

        if ($type eq 'do') {
            ArmorIQ::HTTP2::pump($s, 0.05);
            $flags->();
            next;
        }

        # trailers

        $data = join '', map { ArmorIQ::HTTP2::literal(@$_) } @$data
            if ref $data;
        $s->{out} .= ArmorIQ::HTTP2::frame($type, $flags, 1, $data);
    }

    ArmorIQ::HTTP2::pump($s, 0.1);

    if ($o{gone}) {
        close $sock;
        return http_parse('');
    }

    ArmorIQ::HTTP2::pump($s) while !$s->{done} && time() < $s->{end};

    return http_parse("HTTP/1.1 $s->{status} \r\n\r\n$s->{body}");
}


# counters

# how many lines of a file match, of which only the new ones are read

sub tail {
    my ($self, $file, $what) = @_;

    open my $f, '<:raw', $file or return 0;
    seek $f, $self->{offsets}{$file} || 0, 0;

    while (defined(my $line = <$f>)) {
        last if $line !~ /\n\z/;

        $self->{offsets}{$file} += length $line;
        $self->{total}{$file}++ if !$what || $line =~ $what;
    }

    return $self->{total}{$file} || 0;
}

# how many requests have reached a server behind the walls

sub count {
    my ($self) = @_;
    my $dir = $self->{t}->dir();
    my $n = 0;

    $n += $self->tail("$dir/$_") for 'hits', map { "$_.log" }
                                             @{ $self->{logs} };

    return $n;
}

# waits for what is wanted, and a little for what is not

sub new_hits {
    my ($self, $before, $want, $wait) = @_;

    for (1 .. 200) {
        last if $self->count() - $before >= $want;
        sleep 0.01;
    }

    sleep(0.004 + ($wait || 0));

    return $self->count() - $before;
}

sub refusals {
    my ($self) = @_;
    my $n = 0;

    $n += $self->tail($_, qr/"reason":"ENFORCEMENT_BYPASS"/)
        for glob $self->{t}->audit() . '/seg-*.jsonl';

    return $n;
}


# with the walls

sub drive {
    my ($self) = @_;

    $self->one($_) for @{ $self->{variants} };
}

sub one {
    my ($self, $v) = @_;

    for my $version (@{ $v->{v} || ($v->{raw} ? [ 1 ] : [ 1, 2 ]) }) {
        my ($status, $why, $hits) =
            @{ $version == 2 && $v->{want2} || $v->{want} };
        my $name = "B$v->{n} $v->{name}, h$version";

        $v->{before}->($self, $v) if $v->{before};

        my $records = $v->{leaves} ? $self->refusals() : 0;
        my $before = $self->count();
        my $r = $self->send($v, $version);

        # what nginx itself refuses behind the walls has its status as reason

        $r->{nginx} = 1 if $r->{why} =~ s/^HTTP_\d+$//;

        # newer versions are stricter

        if ($v->{or_nginx} && $r->{why} eq ''
            && $r->{status} =~ /^(?:0|400)$/)
        {
            ($status, $why, $hits) = ($r->{status}, '', 0);
        }

        $status = $r->{status}
            if $status =~ /\|/ && "|$status|" =~ /\|$r->{status}\|/;
        $why = $r->{why} if !defined $why;
        $why = '' if ($v->{method} || '') eq 'HEAD';

        # the answer ends where its next part was refused, maybe at its start

        $r->{status} = $status if $v->{cut} && $r->{status} =~ /^(?:0|206)$/;

        my $n = $self->new_hits($before, $hits, $v->{wait});

        Test::More::is("$r->{status} $r->{why}, $n hits",
                       "$status $why, $hits hits", $name)
            or Test::More::diag(substr $r->{raw} || $r->{body}, 0, 400);

        Test::More::unlike($r->{body}, qr/<html/i, "$name: no HTML")
            if $r->{why};

        $v->{check}->($r, $name, $self, $version) if $v->{check};

        if ($v->{leaves}) {
            for (1 .. 100) {
                last if $self->refusals() > $records;
                sleep 0.01;
            }

            Test::More::cmp_ok($self->refusals(), '>', $records,
                               "$name: leaves a record");
        }

        $self->seen($v, $version, $r);
    }
}

sub seen {
    my ($self, $v, $version, $r) = @_;
    my $n = $v->{n};

    $self->{seen}{$n}++;
    $self->{versions}{$n}{$version}++;

    return if $v->{control};

    $self->{outcomes}{$n}{$_}++ for outcome($v, $r);

    my $id = ref $r->{json} eq 'HASH' && ref $r->{json}{error} eq 'HASH'
             && ref $r->{json}{error}{data} eq 'HASH'
             && $r->{json}{error}{data}{requestId};

    $self->{rids}{$n}{$id} = $r->{why} if $id && $r->{why};
}

# which status nginx chooses for bytes that it does not take is a matter of
# its version; HEAD has no reason

sub outcome {
    my ($v, $r) = @_;

    return if ($v->{method} || '') eq 'HEAD';
    return 'no answer' if !$r->{status};

    return 'nginx' if $v->{nginx} || $r->{nginx}
        || $r->{why} eq '' && $r->{status} =~ /^(?:400|408|411|413|501|505)$/;

    return map { "$_ $r->{why}" } split / /, $r->{status};
}

# a subtest of its own is a variant as well

sub other {
    my ($self, $n, $version, $r, $name, $want) = @_;

    Test::More::is("$r->{status} $r->{why}", $want, "B$n $name") or
        Test::More::diag(substr $r->{raw} || $r->{body}, 0, 400);

    $self->seen({ n => $n }, $version, $r);
}


# what was refused is on record

sub records {
    my ($self) = @_;
    my %by;

    for my $rec ($self->{t}->audit_records('INTENT')) {
        $by{$rec->{rid}} ||= $rec->{reason};
    }

    for my $n (sort { $a <=> $b } keys %{ $self->{rids} }) {
        my $want = $self->{rids}{$n};

        # after a permit another wall may refuse; the permit is the record

        my @bad = grep { !defined $by{$_}
                         || $by{$_} ne $want->{$_} && $by{$_} ne 'OK'
                            && $want->{$_} ne 'TOOL_UNKNOWN' } keys %$want;

        Test::More::is_deeply(
            [ map { "$want->{$_}: " . ($by{$_} || 'none') } @bad ], [],
            "B$n its refusals are on record (" . keys(%$want) . ')');
    }
}

# all numbers of this file, over what each can be sent over

sub numbers {
    my ($self) = @_;

    for my $n (rows_of($self->{file})) {
        my $only = $ROWS{$n}[1];
        my %v = %{ $self->{versions}{$n} || {} };
        my $got = join ' ', sort keys %v;

        next if $only =~ /^none/;

        Test::More::is($got, $only =~ /^1/ ? '1' : $only =~ /^2/ ? '2'
                                                               : '1 2',
                       "B$n was sent over "
                       . ($only =~ /^[12]: (.*)/ ? "one version: $1"
                                                 : 'HTTP/1.1 and HTTP/2'));
    }
}

# number => { vector, outcome, who, lint }

sub docs_rows {
    my %rows;

    open my $f, '<', "$top../../../docs/security.md" or return {};

    while (my $line = <$f>) {
        my ($n, @cells) = $line =~ /^\| B(\d+) /
            ? ($1, map { s/^\s+|\s+$//gr }
                   (split /(?<!\\)\|/, $line)[2 .. 5]) : next;

        $rows{$n} = { vector => $cells[0], outcome => $cells[1],
                      who => $cells[2], lint => $cells[3] };
    }

    return \%rows;
}

# "400 `A` `B`, 415 `C`, nginx, 200" is five outcomes

sub outcomes {
    my ($text) = @_;
    my (%set, $status, $named);

    $text .= ' 000';

    while ($text =~ /\b(\d{3})\b|`([A-Z_]+)`|\b(nginx)\b|\b(no answer)\b/g) {
        if (defined $1) {
            $set{"$status "} = 1 if $status && !$named;
            ($status, $named) = ($1, 0);

        } elsif (defined $2) {
            $set{"$status $2"} = 1 if $status;
            $named = 1;

        } else {
            $set{$3 || $4} = 1;
        }
    }

    return sort keys %set;
}

sub docs {
    my ($self) = @_;
    my $docs = docs_rows();

    for my $n (rows_of($self->{file})) {
        next if $ROWS{$n}[1] =~ /^none/;

        my $row = $docs->{$n};
        my @found = sort keys %{ $self->{outcomes}{$n} || {} };

        # which version refuses what by itself is not ours to say

        Test::More::is(join("\n", grep { $_ ne 'nginx' }
                                   outcomes($row ? $row->{outcome} : '')),
                       join("\n", grep { $_ ne 'nginx' } @found),
                       "B$n docs/security.md says what was found");
    }
}


# without the walls: the module is loaded and "armoriq off"

sub walls_off {
    my ($conf) = @_;

    $conf =~ s/\barmoriq on;/armoriq off;/g;
    $conf =~ s/\barmoriq_(?:guard|invoke on|api on);//g;
    $conf =~ s/proxy_read_timeout \d+m?s/proxy_read_timeout 1500ms/g;

    return $conf;
}

sub off {
    my ($self, $least) = @_;
    my (%real, $roads, %tried);

    $self->{timeout} = 3;

    for my $v (@{ $self->{variants} }) {
        next if $v->{control} || $v->{skip_off};

        my $reached = 0;

        for my $version (@{ $v->{v} || ($v->{raw} ? [ 1 ] : [ 1, 2 ]) }) {
            my $want = ($version == 2 && $v->{want2} || $v->{want})->[2];

            $v->{before}->($self, $v) if $v->{before};

            my $before = $self->count();

            $self->send($v, $version);

            my $n = $v->{nginx} ? 0 : 1 + $want;

            for (1 .. 30) {
                last if $self->count() - $before >= $n;
                sleep 0.01;
            }

            $reached ||= $self->count() - $before > $want;
        }

        $tried{$v->{n}}++;
        $real{$v->{n}}++ if $reached;
        $roads += $reached ? 1 : 0;

        Test::More::note("B$v->{n} $v->{name}: ",
                         $reached ? 'reaches' : $v->{nginx}
                             ? 'stopped by nginx' : 'does not reach');
    }

    my $rows = keys %real;
    my @not = grep { !$real{$_} } sort { $a <=> $b } keys %tried;

    Test::More::diag(sprintf '%s: %d of %d rows (%d of %d variants) reach the'
                     . ' upstream without the walls%s', $self->{file}, $rows,
                     scalar keys %tried, $roads, scalar
                     (grep { !$_->{control} && !$_->{skip_off} }
                          @{ $self->{variants} }),
                     @not ? '; not: ' . join(' ', map { "B$_" } @not) : '');

    Test::More::cmp_ok($rows, '>=', $least,
                       "armoriq off: $rows rows reach the upstream");
}

sub finish {
    my ($self, $conf, $least, %o) = @_;
    my $t = $self->{t};

    $self->records();
    $self->numbers();
    $self->docs();

    my ($code, $out) = $t->audit_verify();

    Test::More::is($code, 0, 'the log is whole') or Test::More::diag($out);

    $t->stop();
    $t->run(walls_off($conf), %o);

    $self->off($least);
}

# is "armoriq_lint" there?  Then rows that it refuses are to be warned of

sub has_lint {
    my ($t) = @_;

    open my $f, '<:raw', $t->module() or return 0;
    local $/;

    return scalar <$f> =~ /\0armoriq_lint\0/;
}

1;
