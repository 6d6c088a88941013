package ArmorIQ::Witness;

# Witnesses as processes, the one who asks them, and logs to ask them about.
#
#     use ArmorIQ::Witness;
#
#     witnesses($t);                    # an ArmorIQ object
#     my $w = witness(1);          # { pid, url, port, vkey, dir, out, err }
#     cosign('--witness', "$w->{url},$w->{vkey}", '--once');
#     my $c = follow('--witness', ...); # the same, until it is ended
#     end_children();

use strict;
use warnings;

use Exporter 'import';
use POSIX ();
use Test::More ();
use Time::HiRes qw/sleep/;

use ArmorIQ;
use ArmorIQ::Note;

our @EXPORT = qw/witnesses witness follow cosign end_child end_children
                 a_log grow other copy_log restore wait_for wait_size/;

my $unit = $ENV{ARMORIQ_UNIT} || ArmorIQ->top() . '/build/unit';
my $ctl = $ENV{ARMORIQCTL} || ArmorIQ->top() . '/build/armoriqctl';
my $owner = $$;
my $number = 0;

my ($t, @children);

END { end_children() if $owner == $$ }


sub witnesses {
    ($t) = @_;

    delete @ENV{grep { /_proxy\z/i } keys %ENV};
}


# logs

sub a_log {
    my ($n) = @_;

    $t->init_store();
    grow($n);
}

sub grow {
    my ($n) = @_;

    system("$unit/checkpoint fill " . $t->audit() . " $n >/dev/null") == 0
        or die 'cannot fill the log';
    sign_log();
}

# records that are not those of grow()

sub other {
    my ($n) = @_;

    system("$unit/checkpoint other " . $t->audit() . " $n >/dev/null") == 0
        or die 'cannot fill the log';
    sign_log();
}

sub sign_log {
    my ($code, undef, $err) = $t->ctl('audit', 'checkpoint', $t->audit(),
                                  '--store', $t->store());

    $code == 0 or die "checkpoint: $err";
}

sub copy_log {
    my ($name) = @_;

    system('cp', '-a', $t->audit(), $t->dir() . "/$name") == 0 or die;
}

sub restore {
    my ($name) = @_;

    system('rm', '-rf', $t->audit()) == 0 or die;
    system('cp', '-a', $t->dir() . "/$name", $t->audit()) == 0 or die;
}


# processes

sub spawn {
    my ($name, @cmd) = @_;
    my $file = $t->dir() . "/$name-" . ++$number;
    my $pid = fork();

    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$file.out";
        open STDERR, '>', "$file.err";
        exec @cmd or POSIX::_exit(127);
    }

    push @children, $pid;

    return { pid => $pid, out => sub { read_file("$file.out") },
             err => sub { read_file("$file.err") } };
}

sub read_file {
    open my $f, '<', $_[0] or return '';
    local $/;

    return scalar(<$f>) // '';
}

sub witness {
    my ($n, %o) = @_;
    my $dir = $t->dir() . "/witness$n";
    my @log = $o{logs} ? ('--logs', $t->write('logs', $o{logs}))
                       : ('--log', vkey_of($t));

    my $w = spawn("witness$n", $ctl, 'audit', 'witness', $dir, '--name',
                  "example.com/w$n", @log, '--listen',
                  '127.0.0.1:' . ($o{port} || 0));

    for (1 .. 400) {
        last if $w->{out}->() =~ /answers/;
        sleep 0.02;
    }

    @$w{qw/vkey port/} = $w->{out}->() =~ m{\A(\S+)\nhttp://127\.0\.0\.1:(\d+)}
        or die 'no witness: ' . $w->{err}->();
    $w->{url} = "http://127.0.0.1:$w->{port}";
    $w->{dir} = $dir;

    return $w;
}

sub follow { spawn('cosign', $ctl, 'audit', 'cosign', $t->audit(), @_) }

sub cosign { $t->ctl('audit', 'cosign', $t->audit(), @_) }

sub end_child {
    my ($c) = @_;

    kill 'TERM', $c->{pid};
    waitpid $c->{pid}, 0;
    @children = grep { $_ != $c->{pid} } @children;
}

sub end_children {
    local $?;

    kill 'KILL', @children if @children;
    waitpid $_, 0 for @children;
    @children = ();
}

sub wait_for {
    my ($what, $name) = @_;

    for (1 .. 600) {
        return Test::More::ok(1, $name) if $what->();
        sleep 0.1;
    }

    return Test::More::ok(0, $name);
}

sub wait_size {
    my ($n, $name) = @_;

    wait_for(sub { checkpoint(log_file($t, 'cosigned'))->{size} == $n },
             $name);
}

1;
