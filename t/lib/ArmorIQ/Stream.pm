package ArmorIQ::Stream;

# A request whose two ends are both in the hands of the test, so that what
# comes before what is known and nothing has to be slept for:
#
#     use ArmorIQ::Stream;
#
#     $t->{upstream_port} = stream_port();
#     ...
#     my $s = stream($t->port(0), path => '/mcp', body => ...);
#     $s->answer(200, "Content-Type: text/event-stream\r\n");
#     $s->pass("data: 1\n\n") eq "data: 1\n\n";     # what the client has got
#     $s->end();
#
# over => 2: HTTP/2; method => ..., headers => "A: b\r\n"; chunked => 1 for the
# answer.  Nothing takes longer than ten seconds, or it has failed.

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Socket qw/IPPROTO_TCP TCP_NODELAY/;
use Time::HiRes qw/time/;

use ArmorIQ;
use ArmorIQ::HTTP2 ();

our @EXPORT = qw/stream stream_port accepted/;

my $limit = 10;
my $listen;


sub stream_port {
    $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16,
                                    ReuseAddr => 1) or die "listen: $!";

    return $listen->sockport;
}

# sends the request; it is with the server, as $s->{request}, when this returns

sub stream {
    my ($port, %o) = @_;
    my $self = bless { over => $o{over} || 1, chunked => $o{chunked},
                       raw => '', body => '', head => '', status => 0,
                       taken => 0 }, 'ArmorIQ::Stream';

    $SIG{PIPE} = 'IGNORE';

    my $sock = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
                                     Timeout => 5) or die "connect: $!";

    $self->{sock} = $sock;
    $self->send_request(\%o);

    $self->read_client(0) if !$self->accept_request();

    return $self;
}

# the server's end alone: the next request, whoever has sent it

sub accepted {
    my $self = bless {}, 'ArmorIQ::Stream';

    $self->accept_request() or die "nobody asks\n";

    return $self;
}

sub accept_request {
    my ($self) = @_;

    return 0 if !IO::Select->new($listen)->can_read($limit);

    my $up = $listen->accept or die "accept: $!";

    setsockopt $up, IPPROTO_TCP, TCP_NODELAY, 1;
    $up->blocking(0);

    $self->{up} = $up;
    $self->{request} = $self->read_request();

    return 1;
}

sub send_request {
    my ($self, $o) = @_;
    my $method = $o->{method} || 'POST';
    my $body = $o->{body};
    my $path = $o->{path} || '/mcp';
    my $headers = $o->{headers} || '';

    if ($self->{over} == 1) {
        my $length = defined $body ? 'Content-Length: ' . length($body)
                                     . "\r\n" : '';
        my $text = "$method $path HTTP/1.1\r\nHost: x\r\n$headers$length\r\n"
            . (defined $body ? $body : '');

        syswrite $self->{sock}, $text or die "write: $!";
        $self->{sock}->blocking(0);
        return;
    }

    my @headers = ([ ':method', $method ], [ ':path', $path ],
                   [ ':scheme', 'http' ], [ ':authority', 'x' ]);

    push @headers, [ lc $1, $2 ]
        while $headers =~ /^([^:\r\n]+):[ ]*(.*?)\r?$/mg;

    $self->{h2} = {
        sock => $self->{sock}, in => '', status => 0, body => '', head => '',
        window => 65535, initial => 65535, all => 65535, done => 0,
        end => time() + 1000,
        out => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            . ArmorIQ::HTTP2::frame(4, 0, 0)
            . ArmorIQ::HTTP2::frame(1, 4 | (defined $body ? 0 : 1), 1,
                join '', map { ArmorIQ::HTTP2::literal(@$_) } @headers)
            . (defined $body ? ArmorIQ::HTTP2::frame(0, 1, 1, $body) : ''),
    };

    ArmorIQ::HTTP2::pump($self->{h2}, 0);
}

# of the server: what has come to it

sub read_request {
    my ($self) = @_;
    my $end = time() + $limit;
    my $sel = IO::Select->new($self->{up});
    my $buf = '';

    while ($sel->can_read($end - time())) {
        sysread $self->{up}, $buf, 65536, length $buf or last;

        my ($head, $body) = split /\r\n\r\n/, $buf, 2;
        next if !defined $body;

        my ($line, @lines) = split /\r\n/, $head;
        my ($method, $uri) = split / /, $line;
        my %h = map { /^([^:]+):\s*(.*)$/ ? (lc $1, $2) : () } @lines;

        next if length $body < ($h{'content-length'} || 0);

        return { method => $method, uri => $uri, headers => \%h,
                 body => $body };
    }

    return { method => '', uri => '', headers => {}, body => $buf };
}


# the server's end

# the header of an answer, and the client has got one when this returns

sub answer {
    my ($self, $status, $headers) = @_;

    $self->put("HTTP/1.1 $status X\r\n$headers" . ($self->{chunked}
               ? "Transfer-Encoding: chunked\r\n" : '') . "\r\n");

    return $self->wait_for(sub { $self->{status} });
}

sub put {
    my ($self, $data) = @_;
    my $end = time() + $limit;
    my $off = 0;

    while ($off < length $data && time() < $end) {
        my $n = syswrite $self->{up}, $data, length($data) - $off, $off;

        if (defined $n) {
            $off += $n;
            next;
        }

        last if !$!{EAGAIN};

        # no room until somebody reads

        $self->read_client(0.01);
    }

    return $off;
}

# sends bytes of the body; returns what the client has got, when it is as
# much, or $want bytes

sub pass {
    my ($self, $data, $want) = @_;

    $want = length $data if !defined $want;

    $self->put($self->chunk($data));
    $self->wait_for(sub { length($self->{body}) - $self->{taken} >= $want });

    return $self->taken();
}

sub chunk {
    my ($self, $data) = @_;

    return $self->{chunked} ? sprintf("%x\r\n%s\r\n", length $data, $data)
                            : $data;
}

# the end of the answer; 1 if the client has seen it as one

sub end {
    my ($self) = @_;

    $self->put("0\r\n\r\n") if $self->{chunked};
    $self->over();

    return $self->{done};
}

# the server goes without a word

sub break {
    my ($self) = @_;

    $self->over();

    return !$self->{done};
}

# nginx waits for the client to close, and logs only then

sub over {
    my ($self) = @_;

    close delete $self->{up};

    $self->wait_for(sub { $self->{done} || $self->{closed} });
    $self->leave();
}

# 1 if nginx has closed the connection to the server

sub server_left {
    my ($self) = @_;

    return 0 if !IO::Select->new($self->{up})->can_read($limit);

    my $n = sysread $self->{up}, my $buf, 65536;

    return defined $n ? $n == 0 : $!{ECONNRESET} ? 1 : 0;
}


# the client's end

# of the body, since the last time

sub taken {
    my ($self) = @_;
    my $data = substr $self->{body}, $self->{taken};

    $self->{taken} = length $self->{body};

    return $data;
}

sub leave {
    my ($self) = @_;

    close delete $self->{sock};
}

# 1 when it is so

sub wait_for {
    my ($self, $sub) = @_;
    my $end = time() + $limit;

    until ($sub->()) {
        my $left = $end - time();

        return 0 if $left <= 0 || $self->{closed};
        $self->read_client($left);
    }

    return 1;
}

sub read_client {
    my ($self, $wait) = @_;

    return $self->read_h2($wait) if $self->{h2};
    return if !IO::Select->new($self->{sock})->can_read($wait);

    my $n = sysread $self->{sock}, $self->{raw}, 1 << 20, length $self->{raw};

    $self->{closed} = 1 if defined $n ? $n == 0 : !$!{EAGAIN};
    $self->parse();
}

sub read_h2 {
    my ($self, $wait) = @_;
    my $h2 = $self->{h2};

    ArmorIQ::HTTP2::pump($h2, $wait);

    # updates of windows that this has led to

    ArmorIQ::HTTP2::pump($h2, 0) if length $h2->{out};

    $self->{$_} = $h2->{$_} for qw/status body done head/;
}

# moves what is whole from raw to body

sub parse {
    my ($self) = @_;

    if (!$self->{status}) {
        $self->{raw} =~ s/^(HTTP.*?)\r\n\r\n//s or return;
        $self->{head} = $1;
        ($self->{status}) = $1 =~ /^HTTP\S+ (\d+)/;
        $self->{framed} = $self->{head} =~ /^transfer-encoding: chunked/mi;
        ($self->{length}) = $self->{head} =~ /^content-length: (\d+)/mi;
    }

    if (!$self->{framed}) {
        $self->{body} .= $self->{raw};
        $self->{raw} = '';
        $self->{done} = defined $self->{length}
            ? length $self->{body} >= $self->{length} : $self->{closed};
        return;
    }

    my $at = 0;

    pos($self->{raw}) = 0;

    while ($self->{raw} =~ /\G([0-9a-f]+)\r\n/gc) {
        my $n = hex $1;
        my $from = pos $self->{raw};

        last if length $self->{raw} < $from + $n + 2;

        $self->{done} = 1 if $n == 0;
        $self->{body} .= substr $self->{raw}, $from, $n;

        $at = $from + $n + 2;
        pos($self->{raw}) = $at;
    }

    substr $self->{raw}, 0, $at, '';
}

1;
