#!/usr/bin/perl

# Guards that nothing that t/canary.t looks for can be seen where bodies are
# kept encrypted: all of it is done again, with payload=encrypted.

use strict;
use warnings;

use FindBin;

our $audit_options = 'payload=encrypted';

do "$FindBin::Bin/canary.t";
die $@ if $@;
