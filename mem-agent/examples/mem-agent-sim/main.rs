//! A day in the life of a pod, with the agent at work, in a few seconds.
//!
//! ```text
//! cargo run -p mem-agent --example mem-agent-sim -- [OPTION…]
//!
//! --seed N        another day; the same one for the same number (default: 1)
//! --reclaim       take pages by memory.reclaim instead of lru_gen commands
//! --svg FILE      also draw the day as a picture
//! --real          do not simulate: look at this machine, without changing anything, and say what
//!                 the agent would find and what is missing
//! --root DIR      with --real: look at DIR/proc and DIR/sys instead of /proc and /sys
//! --help          print this
//! ```
//!
//! The machine is the simulator of the tests; the agent is the library. The exit status is 1 if
//! something fails, and 2 for a wrong command line.

mod chart;
mod day;
mod picture;
mod real;
#[path = "../../tests/sim/mod.rs"]
mod sim;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use mem_agent::memcg::Actuator;

use day::{Agent, Day};

const HELP: &str = "\
A day in the life of a pod, with the memory agent at work, on a simulated machine.

usage: mem-agent-sim [--seed N] [--reclaim] [--svg FILE]
       mem-agent-sim --real [--root DIR]

  --seed N     another day; the same one for the same number (default: 1)
  --reclaim    take pages by memory.reclaim instead of lru_gen commands
  --svg FILE   also draw the day as a picture
  --real       look at this machine instead, without changing anything, and say what the agent
               would find and what is missing
  --root DIR   with --real: look at DIR/proc and DIR/sys instead of /proc and /sys
  --help       print this
";

/// What the command line asks for.
enum Task {
    Simulate {
        seed: u64,
        actuator: Actuator,
        svg: Option<PathBuf>,
    },
    LookAround {
        root: PathBuf,
    },
    Help,
}

fn main() -> ExitCode {
    let task = match parse(std::env::args_os().skip(1)) {
        Ok(task) => task,
        Err(message) => {
            eprintln!("mem-agent-sim: {message} (--help tells more)");
            return ExitCode::from(2);
        }
    };
    let mut out = io::stdout().lock();
    let result = match task {
        Task::Simulate {
            seed,
            actuator,
            svg,
        } => simulate(&mut out, seed, actuator, svg),
        Task::LookAround { root } => real::report(&mut out, &root).map_err(anyhow::Error::from),
        Task::Help => out.write_all(HELP.as_bytes()).map_err(anyhow::Error::from),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough is no error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mem-agent-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn simulate(
    out: &mut impl Write,
    seed: u64,
    actuator: Actuator,
    svg: Option<PathBuf>,
) -> anyhow::Result<()> {
    // Before the work, so that it is not in vain.
    let picture = svg.map(picture::Picture::create).transpose()?;
    let out = &mut Listener {
        out,
        is_gone: false,
        may_go: picture.is_some(),
    };
    let without = Day::live(seed, Agent::Absent, |_| Ok(()))?;
    let mut chart = chart::Chart::new(&without);
    chart.head(out, seed)?;
    let day = Day::live(seed, Agent::Present(actuator), |sample| {
        chart.row(out, sample)
    })?;
    chart.foot(out, &day)?;
    if let Some(picture) = picture {
        let file = picture.draw(&day, &without)?;
        writeln!(out, "\nThe picture is in {}.", file.display())?;
    }
    Ok(())
}

/// Where the text goes. Who draws a picture goes on when nobody reads any more.
struct Listener<'a, W> {
    out: &'a mut W,
    is_gone: bool,
    may_go: bool,
}

impl<W: Write> Write for Listener<'_, W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.is_gone {
            return Ok(text.len());
        }
        match self.out.write(text) {
            Err(error) if self.may_go && error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_gone = true;
                Ok(text.len())
            }
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_gone {
            return Ok(());
        }
        self.out.flush()
    }
}

fn parse(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Task, String> {
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let (mut seed, mut svg, mut root) = (None, None, None);
    let (mut is_real, mut actuator) = (false, None);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.ok_or_else(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--seed" => {
                let value = value()?;
                let number = value.parse::<u64>();
                seed = Some(number.map_err(|_| format!("--seed {value:?}: not a number"))?);
            }
            "--reclaim" => actuator = Some(Actuator::MemoryReclaim),
            "--svg" => svg = Some(PathBuf::from(value()?)),
            "--real" => is_real = true,
            "--root" => root = Some(PathBuf::from(value()?)),
            "--help" | "-h" => return Ok(Task::Help),
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    match (is_real, root) {
        (true, _) if seed.is_some() || svg.is_some() || actuator.is_some() => {
            Err("--real goes with --root only".to_owned())
        }
        (true, root) => Ok(Task::LookAround {
            root: root.unwrap_or_else(|| PathBuf::from("/")),
        }),
        (false, Some(_)) => Err("--root goes with --real only".to_owned()),
        (false, None) => Ok(Task::Simulate {
            seed: seed.unwrap_or(1),
            actuator: actuator.unwrap_or_default(),
            svg,
        }),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
