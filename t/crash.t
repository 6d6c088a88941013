#!/usr/bin/perl

# Guards the short form of the crash matrix: 20 rounds of scripts/crash, each
# of which kills nginx in some way while calls are made.  No call reaches its
# server without a record that is on disk, no step is used twice, and the log
# verifies after each of them.  The long form: scripts/crash --rounds 200.

use strict;
use warnings;

use Cwd qw/realpath/;
use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ;


plan(skip_all => 'no C compiler')
    if system('cc --version >/dev/null 2>&1') != 0;

# skips: nothing was built

ArmorIQ->new();

# another seed each time finds more, if it is said which one

my $seed = exists $ENV{TEST_CRASH_SEED} ? $ENV{TEST_CRASH_SEED} : 1;
my $script = realpath("$FindBin::Bin/../scripts/crash");
my $sum = summary(20, '--rounds 20');

# rounds in which nothing happens show nothing

my ($calls, $saw) = $sum =~ /calls (\d+), upstream saw (\d+),/;

cmp_ok($calls || 0, '>', 1000, 'calls');
cmp_ok($saw || 0, '>', 500, 'of which the upstream saw many');
cmp_ok($calls || 0, '>', $saw || 0, 'and some were refused');

summary(5, '--rounds 0 --only signal/');

done_testing();


sub summary {
    my ($rounds, $args) = @_;
    my @out = `'$^X' '$script' $args --seed $seed 2>&1`;
    my $code = $? >> 8;
    my ($sum) = grep { /^crash: / } @out;

    is($code, 0, "$args: exit code") or diag(@out);
    is(scalar(grep { /^ +\d+  \S+ +calls/ } @out), $rounds,
       "$args: a line for each round");

    $sum = '' if !defined $sum;

    like($sum, qr/^crash: $rounds rounds, \d+ kinds, .*, ok$/,
         "$args: a summary");
    like($sum, qr/ without INTENT 0, steps used twice 0, wrong answers 0,/,
         "$args: no call without INTENT");
    like($sum, qr/ verify codes \{(?:(?:0|10):\d+(?:, )?)+\},/,
         "$args: verify: 0 or 10");

    return $sum;
}
