#!/usr/bin/perl

# Runs the unit tests of the core (t/unit/*.c, built into build/unit) as
# subtests.  A binary that is missing is a failure: nothing was tested.

use strict;
use warnings;

use File::Basename;
use FindBin;
use Test::More;

my $top = "$FindBin::Bin/..";
my $dir = $ENV{ARMORIQ_UNIT} || "$top/build/unit";

chdir $top or die "$top: $!";

my @names = sort map { basename($_, '.c') } glob "t/unit/*.c";

plan tests => scalar @names;

for my $name (@names) {

    subtest $name => sub {
        my @lines = -x "$dir/$name" ? qx{$dir/$name 2>&1} : ();
        my $status = $?;
        my ($n, $planned) = (0, -1);

        for (@lines) {
            if (/^(not )?ok \d+(?: - (.*))?$/) {
                my ($bad, $text) = ($1, $2);
                $n++;

                if (!$bad && defined $text && $text =~ /^(.*) # skip (.*)$/) {
                  SKIP: { skip "$1: $2", 1 }

                } else {
                    ok(!$bad, $text);
                }

            } elsif (/^1\.\.(\d+)/) {
                $planned = $1;

            } else {
                chomp;
                diag($_) if /^#|rror|anitizer/;
            }
        }

        is($n, $planned, 'all tests ran');
        is($status, 0, 'exit status');
        done_testing();
    };
}
