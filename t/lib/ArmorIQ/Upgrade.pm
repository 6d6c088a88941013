package ArmorIQ::Upgrade;

# What an SRE does to an nginx that serves: a new configuration, new log files,
# a new binary and the way back from it.  A new binary needs a master that is
# not a child of whoever started it, so that one is a daemon.

use strict;
use warnings;

use Exporter 'import';
use POSIX ();
use Time::HiRes qw/sleep time/;

our @EXPORT_OK = qw/reload reopen upgrade/;


# All of these get the nginx of a test and a sub that returns when calls have
# been served; they die with what has not happened.

sub reload {
    my ($t, $served) = @_;

    for (1 .. 5) {
        $t->reload();
        $served->();
    }
}

sub reopen {
    my ($t, $served) = @_;
    my $log = $t->dir() . '/error.log';

    for my $n (1 .. 5) {
        rename $log, "$log.$n" or die "$log: $!\n";
        kill 'USR1', $t->master();

        until_true(sub { -e $log }) or die "the log was not opened again\n";
        $served->();
    }

    # what they say is looked at in the end

    open my $f, '>>', $log or die "$log: $!\n";

    for my $n (1 .. 5) {
        open my $old, '<', "$log.$n" or die "$log.$n: $!\n";
        print {$f} readline $old;
        unlink "$log.$n";
    }

    close $f or die "$log: $!\n";
}

# a new binary: for good, with the way back, or while workers of both are killed

sub upgrade {
    my ($t, $served, %o) = @_;
    my $file = $t->dir() . '/nginx.pid';

    $t->stop();

    my $old = daemon($t);

    $served->();

    kill 'USR2', $old;

    until_true(sub { -s "$file.oldbin" && -s $file && pid($file) != $old })
        or die "there is no new master\n";

    my $new = pid($file);

    until_true(sub { 2 == (my @w = workers($t, $new)) })
        or die "the new master has no workers\n";

    # both of them now

    for (1 .. 5) {
        $served->();
        next if !$o{kill};

        for my $master ($old, $new) {
            kill 'KILL', (grep { $_ != $new } workers($t, $master))[0];
        }
    }

    kill 'WINCH', $old;

    until_true(sub { !grep { $_ != $new } workers($t, $old) })
        or die "old workers stay\n";
    $served->();

    if ($o{back}) {
        kill 'HUP', $old;

        until_true(sub { 2 == grep { $_ != $new } workers($t, $old) })
            or die "the old master has no workers again\n";

        $served->() for 1 .. 5;
        quit($new);
        $served->();
        quit($old);

    } else {
        quit($old);
        $served->();
        quit($new);
    }

    $t->start();
}

sub daemon {
    my ($t) = @_;
    my $file = $t->dir() . '/nginx.pid';

    unlink $file;

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        $t->preload();

        my @cmd = $t->command();

        open STDOUT, '>>', $t->dir() . '/nginx.out';
        open STDERR, '>>', $t->dir() . '/nginx.out';

        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    }

    waitpid $pid, 0;
    die "nginx did not start\n" if $?;

    until_true(sub { -s $file }) or die "there is no nginx.pid\n";

    return pid($file);
}

# the children, of which a new master is one

sub workers {
    my ($t, $pid) = @_;

    local $t->{pid} = $pid;

    return $t->workers();
}

sub quit {
    my ($pid) = @_;

    kill 'QUIT', $pid;

    until_true(sub { !alive($pid) }) or die "process $pid does not end\n";
}

# nobody may be there who waits for it: dead it is anyway

sub alive {
    my ($pid) = @_;

    open my $f, '<', "/proc/$pid/stat" or return 0;

    return (<$f> || '') =~ /^\d+ \(.*\) [^ZX] /;
}

sub pid {
    my ($file) = @_;

    open my $f, '<', $file or return 0;

    return (<$f> || 0) + 0;
}

sub until_true {
    my ($is) = @_;
    my $end = time() + 15;

    while (!$is->()) {
        return 0 if time() > $end;
        sleep 0.01;
    }

    return 1;
}

1;
