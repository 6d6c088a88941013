package ArmorIQ::Crash;

# The two ends of scripts/crash: agents that call all the time, whatever
# becomes of nginx, and an MCP server that writes down what it was asked to do
# and whether the record of that was on disk when it came.

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw/sleep time/;

use ArmorIQ;

our @EXPORT_OK = qw/upstream agent step_plan STEPS/;

# of a body, as records have it

our $hash;

use constant STEPS => 100;
use constant SHARED => 7;

my $json = "Content-Type: application/json\r\n";


# one token of a round: a tool for any number of calls, steps that are good for
# one call each, and one that is good for a few

sub step_plan {
    my ($round) = @_;

    return { goal => "round $round", steps => [
        { action => 'infra.scale', mcp => 'infra-mcp', max_uses => 1000000 },
        { action => 'infra.list', mcp => 'infra-mcp',
          params => { r => $round }, max_uses => SHARED },
        map { { action => 'infra.restart', mcp => 'infra-mcp',
                params => { n => $_, r => $round } } } 0 .. STEPS - 1,
    ] };
}

# how often a step may be used, by its name in the file of the upstream

sub limit { return $_[0] =~ /^infra\.list/ ? SHARED : 1 }


# The upstream: one process, so that nothing it notes is torn.  A line is the
# hash of the body, whether its INTENT was found on disk, and the step.

sub upstream {
    my ($port, $file, $log) = @_;

    my $sock = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port",
                                     Listen => 256, ReuseAddr => 1)
        or die "listen: $!";
    my $parent = getppid();
    my $sel = IO::Select->new($sock);
    my (%buf, @due);

    open my $out, '>>:raw', $file or die "$file: $!";
    $SIG{PIPE} = 'IGNORE';

    while (getppid() == $parent) {
        my $wait = @due ? $due[0][0] - time() : 1;

        for my $c ($sel->can_read($wait > 0 ? $wait : 0)) {
            if ($c == $sock) {
                my $new = $sock->accept or next;

                $sel->add($new);
                $buf{$new} = '';
                next;
            }

            if (!sysread $c, $buf{$c}, 65536, length $buf{$c}) {
                $sel->remove($c);
                delete $buf{$c};
                @due = grep { $_->[1] != $c } @due;
                close $c;
                next;
            }

            while ($buf{$c} =~ /\A(.*?)\r\n\r\n/s) {
                my ($head, $at) = ($1, $+[0]);
                my ($n) = $head =~ /^content-length: *(\d+)/mi;

                last if length $buf{$c} < $at + ($n || 0);

                my $body = substr $buf{$c}, $at, $n || 0;

                substr $buf{$c}, 0, $at + ($n || 0), '';

                my $h = $hash->($body);
                my ($step, $id, $slow) = executed($body);

                syswrite $out, join(' ', $h, $log->on_disk($h), $step) . "\n";

                push @due, [ time() + ($slow ? 0.03 : 0), $c,
                             answer($id) ];
            }
        }

        @due = sort { $a->[0] <=> $b->[0] } @due;

        while (@due && $due[0][0] <= time()) {
            my $d = shift @due;

            syswrite $d->[1], $d->[2];
        }
    }
}

sub executed {
    my ($body) = @_;
    my $rpc = json_value($body) || {};
    my ($id, $p) = @$rpc{qw/id params/};
    my $args = $p->{arguments} || {};

    return (join('/', $p->{name} || '?',
                 map { "$_=$args->{$_}" } sort keys %$args),
            defined $id ? $id : 0, $args->{slow});
}

sub answer {
    my $text = '{"jsonrpc":"2.0","id":' . $_[0]
        . ',"result":{"content":[{"type":"text","text":"done"}]}}';

    return "HTTP/1.1 200 OK\r\n${json}Content-Length: " . length($text)
        . "\r\n\r\n$text";
}


# An agent: one connection at a time, the next call when the last one has an
# answer, or a new connection when it never will.  It ends when it is told to
# (TERM).  A line of its file is the hash of the body, status, reason, step.

sub agent {
    my (%o) = @_;
    my ($stop, $n, $i, $parent) = (0, 0, 0, getppid());
    my $s;

    local $SIG{TERM} = sub { $stop = 1 };
    local $SIG{PIPE} = 'IGNORE';

    srand $o{seed};
    open my $out, '>>:raw', $o{file} or die "$o{file}: $!";

    while (!$stop && getppid() == $parent) {
        my ($what, $round) = (rand, $o{round});
        my ($tool, $args, $token) = ('infra.scale', undef, $o{token});

        if ($what < 0.55) {
            $args = { c => $o{agent}, i => $i, r => $round,
                      ($what < 0.05 ? (slow => 1) : ()) };

        } elsif ($what < 0.85 && $n < STEPS) {
            ($tool, $args) = ('infra.restart', { n => $n, r => $round });

        } elsif ($what < 0.95) {

            # what may have been used, of this round or the one before

            if ($o{before} && rand() < 0.5) {
                ($token, $round) = ($o{before}, $round - 1);
            }

            $tool = $what < 0.9 ? 'infra.restart' : 'infra.list';
            $args = { r => $round };
            $args->{n} = int rand(($round == $o{round} ? $n : STEPS) || 1)
                if $tool eq 'infra.restart';

        } else {
            ($tool, $args) = ('infra.kill', { r => $round });
        }

        my $body = json_text({ jsonrpc => '2.0', method => 'tools/call',
            id => ($o{round} * 100 + $o{agent}) * 1000000 + $i++,
            params => { name => $tool, arguments => $args } });

        $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$o{port}",
                                   Timeout => 2) if !$s;

        my ($status, $why) = $s ? ask($s, $token, $body) : (0, 'connect');
        my $step = join '/', $tool, map { "$_=$args->{$_}" } sort keys %$args;

        syswrite $out, join(' ', $hash->($body), $status, $why, $step)
            . "\n";

        $n++ if $tool eq 'infra.restart' && $args->{r} == $o{round}
                && $args->{n} == $n && ($status == 200 || $status == 409);

        undef $s if !$status;
        sleep($status ? 0.002 : 0.01);
    }
}

# status and reason of one answer, or 0 and what went wrong

sub ask {
    my ($s, $token, $body) = @_;
    my ($end, $raw) = (time() + 5, '');

    my $req = "POST /mcp HTTP/1.1\r\nHost: x\r\n$json"
        . "Authorization: Bearer $token\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

    my $sent = syswrite $s, $req;

    return (0, 'write') if !$sent || $sent != length $req;

    while (!whole($raw)) {
        return (0, 'timeout') if time() > $end;
        next if !IO::Select->new($s)->can_read(0.5);
        return (0, 'closed') if !sysread $s, $raw, 65536, length $raw;
    }

    my $r = http_parse($raw);

    return ($r->{status}, $r->{why} || '-');
}

sub whole {
    my ($head, $body) = split /\r\n\r\n/, $_[0], 2;

    return 0 if !defined $body;
    return length $body >= $1 if $head =~ /^content-length: *(\d+)/mi;
    return $body =~ /\r\n0\r\n\r\n\z|\A0\r\n\r\n\z/
        if $head =~ /^transfer-encoding: *chunked/mi;
    return 1;
}


# What of the log is on disk, read as it grows.

package ArmorIQ::Crash::Log;

sub new {
    my ($class, $dir, $shim) = @_;

    $shim->again();

    return bless { dir => $dir, shim => $shim, pos => 0, rest => '',
                   known => {} }, $class;
}

# 1, or 0: a record of this body, a permit, is not among what was synced

sub on_disk {
    my ($self, $h) = @_;

    $self->catch_up() if !$self->{known}{$h};

    return delete $self->{known}{$h} ? 1 : 0;
}

sub catch_up {
    my ($self) = @_;

    while (1) {
        my @files = sort glob "$self->{dir}/seg-*.jsonl";
        my @left = grep { !defined $self->{name} || $_ gt $self->{name} }
                   @files;

        if (!$self->{file}) {
            return if !@left;

            $self->{name} = shift @left;
            open $self->{file}, '<:raw', $self->{name}
                or die "$self->{name}: $!";
            @$self{qw/pos rest/} = (0, '');
        }

        # a segment that has a successor is as it will stay

        my @st = stat $self->{file};
        my $size = @left ? $st[7] : $self->{shim}->synced()->{$st[1]};

        # or had none a moment ago

        next if !defined $size
                && grep { $_ gt $self->{name} } glob "$self->{dir}/seg-*.jsonl";

        $self->lines($size || 0);

        return if !@left;

        close delete $self->{file};
    }
}

sub lines {
    my ($self, $size) = @_;

    return if $size <= $self->{pos};

    my $n = sysread $self->{file}, $self->{rest}, $size - $self->{pos},
        length $self->{rest};

    $self->{pos} += $n || 0;

    my $whole = substr $self->{rest}, 0, 1 + rindex($self->{rest}, "\n"), '';

    for (split /^/, $whole) {
        $self->{known}{$1} = 1
            if /"t":"INTENT"/ && /"verdict":"PERMIT"/
               && /"req_h":"([0-9a-f]{64})"/;
    }
}

1;
