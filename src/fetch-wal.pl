#!/usr/bin/perl
# The part of restore_command that has a segment brought by the prefetcher, in less time than Node needs to start:
#
#   perl fetch-wal.pl SPOOL FILE PATH NODE WORDS…
#
# Asks the prefetcher for a WAL file and moves it to PATH. Where there is no prefetcher yet, starts one by the words that
# are fetch-wal's own. Whatever is not as it should be is left to Node, which can do without a prefetcher.
#
# It loads no module, so that it starts fast; tests check it with strict and warnings. The other side:
# keyholder/wal-answers.ts.

# Exit codes, for restore_command. None of them is 0, which is how a script ends that was cut off.
my $TAKEN = 80;
my $ABSENT = 81;
my $LEFT_TO_NODE = 82;

# The prefetcher says something every 5 s, so one that says nothing for so long is stopped or gone.
my $SILENCE_S = 30;

my $SEGMENT = qr/[0-9A-F]{24}/;
# As <sys/wait.h> has it.
my $WNOHANG = 1;

my ($spool, $file, $to, @fetch_wal) = @ARGV;
my $prefetcher = connection() || start_prefetcher();
syswrite $prefetcher, "$file\n" or leave_to_node();

my $received = '';
while (1) {
  while ($received =~ s/^(.*)\n//) { heed($1) }
  my $readable = '';
  vec($readable, fileno $prefetcher, 1) = 1;
  select($readable, undef, undef, $SILENCE_S) > 0 or leave_to_node();
  sysread $prefetcher, $received, 65536, length $received or leave_to_node();
}

# One line of what the prefetcher says.
sub heed {
  my ($line) = @_;
  return if $line eq 'waiting';
  exit $ABSENT if $line eq 'absent';
  if ($line =~ /^warning (.*)/) {
    print STDERR "postbox: warning: $1\n";
    return;
  }
  my ($place) = $line =~ /^take ($SEGMENT|asked\.\d+)\z/ or leave_to_node();
  # All of it or nothing: Postgres looks as soon as we have ended.
  rename "$spool/$place", $to or leave_to_node();
  exit $TAKEN;
}

# AF_UNIX, SOCK_STREAM and sockaddr_un as Linux has them; where they differ, nothing is connected.
sub connection {
  socket my $socket, 1, 1, 0 or leave_to_node();
  # A prefetcher that is stopped takes no more connections at some time.
  local $SIG{ALRM} = sub { };
  alarm $SILENCE_S;
  my $connected = connect $socket, pack('S a*', 1, "$spool/ask");
  alarm 0;
  return $connected && $socket;
}

# The first segment of a recovery is fetched by it too, so that the archive is opened once.
sub start_prefetcher {
  leave_to_node() unless $file =~ /^$SEGMENT\z/ && lives('postmaster.pid') && !prefetcher_lives();
  mkdir $spool, 0700 or -w $spool or leave_to_node();
  my $pid = fork // leave_to_node();
  become_prefetcher() if $pid == 0;

  my $until = time + $SILENCE_S;
  while (time < $until) {
    my $socket = connection();
    return $socket if $socket;
    # It could not begin, or there is another one: Node says why, or does without.
    leave_to_node() if waitpid($pid, $WNOHANG) != 0;
    select undef, undef, undef, 0.005;
  }
  leave_to_node();
}

# It outlives us, and the signals that Postgres sends to restore_command.
sub become_prefetcher {
  setpgrp;
  open STDIN, '<', '/dev/null' and open STDOUT, '>', '/dev/null' and open STDERR, '>', '/dev/null'
    and exec { $fetch_wal[0] } @fetch_wal, '--prefetch-after', $file;
  exit $LEFT_TO_NODE;
}

# As in keyholder/spool.ts: one that did not touch its file for so long is dead, whoever has its number now.
sub prefetcher_lives {
  my $touched = (stat "$spool/prefetcher")[9];
  return defined $touched && time - $touched < $SILENCE_S && lives("$spool/prefetcher");
}

# Whether a process runs whose number is in this file.
sub lives {
  my ($path) = @_;
  open my $opened, '<', $path or return 0;
  my ($pid) = (readline($opened) // '') =~ /^(\d+)/;
  return 0 unless $pid && kill 0, $pid;
  # One that has ended and that nobody has waited for keeps its number.
  open my $state, '<', "/proc/$pid/stat" or return 1;
  return (readline($state) // '') !~ /\) Z [^)]*$/;
}

sub leave_to_node { exit $LEFT_TO_NODE }
