//! The processes under test: started, killed, frozen, replaced, scaled, and started again where they end by themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::events::Events;
use crate::plan::ProcessFault;
use crate::process::{Process, Signal};
use crate::workload::Group;

const FEWEST: usize = 1;
const MOST: usize = 4;
const AT_FIRST: usize = 2;
/// What a drain may take: the drain timeout, closing, a broker that is away.
const END_PATIENCE: Duration = Duration::from_secs(40);
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Shorter than most outages: the brokers then abort transactions of members that keep their partitions.
const SHORT_TRANSACTION_MS: u32 = 2_500;
/// Longer than a zombie's sleep: when it wakes, nothing but the group's generation tells the brokers that it is one.
const LONG_TRANSACTION_MS: u32 = 15_000;

/// What was done to processes, and what they did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub starts: u32,
    pub kills: u32,
    pub freezes: u32,
    pub zombies: u32,
    pub scaled_out: u32,
    pub scaled_in: u32,
    /// Processes that ended without being told to.
    pub ended_by_themselves: u32,
    /// Processes that did not end in time after SIGTERM.
    pub overdue_ends: u32,
    pub skipped: u32,
}

/// A place in the fleet that one process at a time fills.
struct Member {
    name: String,
    group: Group,
    workers: usize,
    transaction_ms: u32,
    starts: u32,
    /// A successor of a process that still runs keeps its tables elsewhere, as it would on another machine.
    state: u32,
    now: Now,
}

enum Now {
    Down,
    Running(Process),
    Frozen(Process),
    Ending(Process, Instant),
    /// Never started again.
    Gone,
}

enum Action {
    Start,
    Continue,
    Wake(Process, Duration),
    Bury(Process),
}

/// All processes of both groups.
pub struct Fleet {
    subject: PathBuf,
    bootstrap: String,
    folder: PathBuf,
    members: Vec<Member>,
    /// What is due when, and for which member.
    due: Vec<(Instant, String, Action)>,
    numbers: u32,
    events: Events,
    pub counts: Counts,
}

impl Fleet {
    pub fn start(subject: &Path, bootstrap: &str, folder: &Path, events: &Events) -> Result<Fleet, Failure> {
        fs::create_dir_all(folder).map_err(Failure::io(folder.display().to_string()))?;
        let mut fleet = Fleet {
            subject: subject.to_owned(),
            bootstrap: bootstrap.to_owned(),
            folder: folder.to_owned(),
            members: Vec::new(),
            due: Vec::new(),
            numbers: 0,
            events: events.clone(),
            counts: Counts::default(),
        };
        for group in Group::ALL {
            for _ in 0..AT_FIRST {
                fleet.add(group)?;
            }
        }
        Ok(fleet)
    }

    /// Starts one more process of a group.
    pub fn add(&mut self, group: Group) -> Result<(), Failure> {
        self.numbers += 1;
        let letter = if group == Group::Named { 'n' } else { 'u' };
        let name = format!("{letter}{}", self.numbers);
        let (workers, transaction_ms) =
            if self.numbers.is_multiple_of(2) { (1, LONG_TRANSACTION_MS) } else { (2, SHORT_TRANSACTION_MS) };
        self.members.push(Member { name, group, workers, transaction_ms, starts: 0, state: 0, now: Now::Down });
        self.start_member(self.members.len() - 1)
    }

    fn start_member(&mut self, index: usize) -> Result<(), Failure> {
        let member = &mut self.members[index];
        member.starts += 1;
        let (name, process) = (&member.name, format!("{}.{}", member.name, member.starts));
        let mut command = Command::new(&self.subject);
        command.args(["--bootstrap-servers", &self.bootstrap, "--group", member.group.name(), "--name", &process]);
        command.args(["--workers", &member.workers.to_string()]);
        command.args(["--transaction-timeout-ms", &member.transaction_ms.to_string()]);
        command.arg("--state-dir").arg(self.folder.join(format!("{name}-{}.state", member.state)));
        if member.group == Group::Named {
            command.args(["--instance", name]);
        }
        command.env_remove("UNCHAIN_LOG");
        let started = Process::start(&mut command, &self.folder.join(format!("{name}.log")))?;
        self.events.add(&process, format!("started, pid {}, {} workers", started.id(), member.workers));
        member.now = Now::Running(started);
        self.counts.starts += 1;
        Ok(())
    }

    fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|index| matches!(self.members[*index].now, Now::Running(_))).collect()
    }

    /// Members that run or will run again.
    fn lasting(&self, group: Group) -> usize {
        let lasts = |member: &&Member| member.group == group && !matches!(member.now, Now::Ending(..));
        self.members.iter().filter(lasts).count()
    }

    pub fn apply(&mut self, target: u64, fault: ProcessFault) -> Result<(), Failure> {
        let group = Group::ALL[usize::try_from(target / 7 % 2).unwrap_or(0)];
        let mut running = self.running();
        match fault {
            ProcessFault::ScaleOut if self.lasting(group) < MOST => {
                self.counts.scaled_out += 1;
                return self.add(group);
            }
            ProcessFault::ScaleIn if self.lasting(group) > FEWEST => {
                running.retain(|index| self.members[*index].group == group);
            }
            ProcessFault::ScaleOut | ProcessFault::ScaleIn => running.clear(),
            _ => {}
        }
        let Some(index) = usize::try_from(target % running.len().max(1) as u64).ok().and_then(|at| running.get(at))
        else {
            self.counts.skipped += 1;
            return Ok(());
        };
        self.apply_to(*index, fault)
    }

    fn apply_to(&mut self, index: usize, fault: ProcessFault) -> Result<(), Failure> {
        let member = &mut self.members[index];
        let Now::Running(mut process) = std::mem::replace(&mut member.now, Now::Down) else { return Ok(()) };
        let (name, now) = (member.name.clone(), Instant::now());
        self.events.add(format!("{name}.{}", member.starts), fault.to_string());
        match fault {
            ProcessFault::Kill { down } => {
                process.kill();
                self.counts.kills += 1;
                self.due.push((now + down, name, Action::Start));
            }
            ProcessFault::Freeze { frozen } => {
                process.signal(Signal::Stop);
                member.now = Now::Frozen(process);
                self.counts.freezes += 1;
                self.due.push((now + frozen, name, Action::Continue));
            }
            ProcessFault::Zombie { frozen, afterlife } => {
                process.signal(Signal::Stop);
                self.counts.zombies += 1;
                member.state += 1;
                self.due.push((now + frozen, name, Action::Wake(process, afterlife)));
                return self.start_member(index);
            }
            ProcessFault::ScaleIn => {
                process.signal(Signal::Terminate);
                self.counts.scaled_in += 1;
                member.now = Now::Ending(process, now);
            }
            ProcessFault::ScaleOut => member.now = Now::Running(process),
        }
        Ok(())
    }

    /// Does what is due, and starts again what has ended by itself. To be called often.
    pub fn tend(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let all = std::mem::take(&mut self.due);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _, _)| *at <= now);
        self.due = later;
        for (_, name, action) in due {
            self.carry_out(&name, action)?;
        }
        for index in 0..self.members.len() {
            self.look_after(index);
        }
        self.members.retain(|member| !matches!(member.now, Now::Gone));
        Ok(())
    }

    fn carry_out(&mut self, name: &str, action: Action) -> Result<(), Failure> {
        let found = self.members.iter().position(|member| member.name == name);
        match action {
            Action::Start => match found {
                Some(index) if matches!(self.members[index].now, Now::Down) => self.start_member(index)?,
                _ => {}
            },
            Action::Continue => {
                if let Some(member) = found.map(|index| &mut self.members[index]) {
                    member.now = match std::mem::replace(&mut member.now, Now::Down) {
                        Now::Frozen(process) => {
                            process.signal(Signal::Continue);
                            self.events.add(format!("{name}.{}", member.starts), "awake again");
                            Now::Running(process)
                        }
                        other => other,
                    };
                }
            }
            Action::Wake(process, afterlife) => {
                process.signal(Signal::Continue);
                self.events.add(format!("{name}, pid {}", process.id()), "awake again beside its successor");
                self.due.push((Instant::now() + afterlife, name.to_owned(), Action::Bury(process)));
            }
            Action::Bury(mut process) => {
                let how = if process.ended().is_some() { "had ended by itself" } else { "kill -9" };
                self.events.add(format!("{name}, pid {}", process.id()), how);
                process.kill();
                self.counts.kills += 1;
            }
        }
        Ok(())
    }

    fn look_after(&mut self, index: usize) {
        let member = &mut self.members[index];
        let who = format!("{}.{}", member.name, member.starts);
        member.now = match std::mem::replace(&mut member.now, Now::Down) {
            Now::Running(mut process) => match process.ended() {
                None => Now::Running(process),
                Some(status) => {
                    self.events.add(who, format!("ended by itself: {status}"));
                    self.counts.ended_by_themselves += 1;
                    self.due.push((Instant::now() + RESTART_PAUSE, member.name.clone(), Action::Start));
                    Now::Down
                }
            },
            Now::Ending(mut process, since) => match process.ended() {
                None if since.elapsed() < END_PATIENCE => Now::Ending(process, since),
                ended => {
                    let took = since.elapsed().as_millis();
                    let how = ended.map_or("killed, overdue".to_owned(), |status| status.to_string());
                    self.events.add(who, format!("gone after {took} ms: {how}"));
                    self.counts.overdue_ends += u32::from(ended.is_none());
                    process.kill();
                    Now::Gone
                }
            },
            other => other,
        };
    }

    /// Ends all that is under way: every process runs again, nothing is frozen, no zombie is left.
    pub fn settle(&mut self) -> Result<(), Failure> {
        for (_, name, action) in std::mem::take(&mut self.due) {
            match action {
                Action::Wake(mut process, _) => process.kill(),
                other => self.carry_out(&name, other)?,
            }
        }
        Ok(())
    }

    /// Ends every process by SIGTERM, and waits for them.
    pub fn end_all(&mut self) -> Result<(), Failure> {
        self.settle()?;
        for index in self.running() {
            self.apply_to(index, ProcessFault::ScaleIn)?;
            self.counts.scaled_in -= 1;
        }
        let deadline = Instant::now() + END_PATIENCE + Duration::from_secs(5);
        while !self.members.is_empty() && Instant::now() < deadline {
            self.tend()?;
            crate::pause(Duration::from_millis(20));
        }
        self.members.clear();
        Ok(())
    }
}
