package ArmorIQ::Shim;

# A library before libc that kills nginx at a named point of what happens to
# the audit log, and says what of the log is on disk (t/shim/crash.c).
#
#     my $shim = ArmorIQ::Shim->new($t->dir(), lead => 1);
#     $shim->preload();                     # every nginx that starts from now
#     $shim->arm([ 'write.half', 'worker', 3 ]);   # the third time it comes by
#     $shim->fired();                       # how often somebody has died of it
#     $shim->synced()->{$inode};            # bytes of a segment on disk
#     $shim->syncs(), $shim->writes();      # of segments, so far
#
# Victims: "worker", the one that has come there; "workers", all of them;
# "all", the master as well.  Several points are passed one after the other.

use strict;
use warnings;

use Exporter 'import';
use File::Spec;
use File::Basename;

our @EXPORT_OK = qw/points/;

my $source = File::Spec->rel2abs(dirname(__FILE__) . '/../../shim/crash.c');

my %victims = (worker => 0, workers => 1, all => 2);

# the page, as in crash.c

my ($fired, $cursor, $syncs, $writes, $synced, $steps) = (0, 8, 16, 24, 48,
                                                          80);
my $step = 64;

# Names, and what has to happen before one can be reached: "segment" are those
# of one that is begun behind a torn line, "rotate" of one whose time has come.

my @log = qw/flush.locked lock.locked write.before write.half write.after
             sync.before sync.after lock.unlock flush.unlock/;
my @segment = qw/segment.opened segment.half segment.sync.before
                 segment.sync.after segment.link.before segment.link.after
                 segment.dir.before segment.dir.after/;
my @rotate = qw/rotate.reserve.before rotate.reserve.after rotate.half
                rotate.sync.before rotate.sync.after rotate.link.before
                rotate.link.after rotate.dir.before rotate.dir.after
                rotate.release.before rotate.release.after reserve.after/;
my @sign = qw/sign.sync.before sign.sync.after tile.half tile.rename.before
              tile.rename.after notes.half notes.sync.before notes.sync.after
              latest.half latest.sync.before latest.sync.after
              latest.rename.before latest.rename.after latest.dir.before
              latest.dir.after/;


sub points {
    return { log => \@log, segment => \@segment, rotate => \@rotate,
             sign => \@sign };
}

sub new {
    my ($class, $dir, %o) = @_;
    my $self = bless { page => "$dir/shim.page", lib => "$dir/shim.so" },
        $class;

    my @cmd = ($ENV{CC} || 'cc', qw/-std=c11 -D_GNU_SOURCE -O2 -W -Wall
               -Werror -shared -fPIC -o/, $self->{lib}, $source, '-ldl');

    system(@cmd) == 0 or die "@cmd failed\n";

    open $self->{file}, '+>:raw', $self->{page} or die "$self->{page}: $!";

    $self->put(0, pack 'Q<512', (0) x 512);
    $self->put(32, pack 'Q<', $o{lead} ? 1 : 0);

    return $self;
}

sub preload {
    my ($self) = @_;
    my %known;

    $ENV{ARMORIQ_SHIM} = $self->{page};
    $ENV{TEST_NGINX_PRELOAD} = join ':', grep { $_ && !$known{$_}++ }
        (split /:/, $ENV{TEST_NGINX_PRELOAD} || ''), $self->{lib};
}

sub arm {
    my ($self, @points) = @_;
    my $at = $self->get($cursor);

    # the first one last: from then on it counts

    for my $i (reverse 0 .. $#points) {
        my ($name, $victim, $count) = @{ $points[$i] };

        die "no victim \"$victim\"\n" if !exists $victims{$victim};

        my $off = $steps + $step * (($at + $i) % 4);

        $self->put($off + 8, pack 'q<Q<Z40', $count || 1, $victims{$victim},
                   $name);
        $self->put($off, pack 'Q<', 1);
    }
}

sub disarm {
    my ($self) = @_;

    $self->put($steps + $step * $_, pack 'Q<', 0) for 0 .. 3;
}

sub fired { $_[0]->get($fired) }

sub syncs { $_[0]->get($syncs) }

sub writes { $_[0]->get($writes) }

# bytes by inode, of the newest segment and of the one before

sub synced {
    my ($self) = @_;
    my ($now, $before) = ('', 'none');

    while ($now ne $before) {
        $before = $now;
        $now = $self->bytes($synced, 32);
    }

    my ($i, $n, $j, $m) = unpack 'Q<4', $now;

    return $i == $j ? { $i => $n > $m ? $n : $m } : { $i => $n, $j => $m };
}

sub get { return unpack 'Q<', $_[0]->bytes($_[1], 8) }

sub bytes {
    my ($self, $off, $n) = @_;
    my $buf;

    sysseek $self->{file}, $off, 0 or die "shim: $!";
    sysread($self->{file}, $buf, $n) == $n or die "shim: $!";

    return $buf;
}

sub put {
    my ($self, $off, $data) = @_;

    sysseek $self->{file}, $off, 0 or die "shim: $!";
    syswrite($self->{file}, $data) == length $data or die "shim: $!";
}

# a process of its own needs a position of its own

sub again {
    my ($self) = @_;

    open $self->{file}, '+<:raw', $self->{page} or die "$self->{page}: $!";
}

1;
