//! A recorded build on 1 to 500 workers, as a table and a picture.
//!
//! `cargo run --release -p simulation --example replay -- bench/recorded/openssl.csv docs`
//!
//! or the table alone, on farms that are named: `replay -- bench/recorded/linux.csv --workers 1,8,32`.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use simulation::replay::{OVERHEAD, Recorded, Replayed, read, replay};

const WORKERS: [usize; 9] = [1, 2, 5, 10, 20, 50, 100, 200, 500];

/// The largest farm that is simulated.
const WORKERS_MAX: usize = 10_000;

const USAGE: &str = "usage: replay RECORD.csv DIRECTORY | replay RECORD.csv --workers NUMBER,NUMBER...";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [record, "--workers", workers] => {
            let workers = workers.split(',').map(|number| match number.parse() {
                Ok(number @ 1..=WORKERS_MAX) => Ok(number),
                _ => Err(format!("{number} is no number of workers (1 to {WORKERS_MAX})")),
            });
            let workers = workers.collect::<Result<Vec<usize>, _>>()?;
            print!("{}", table(&runs(&recorded(record)?, &workers))?);
        }
        [record, directory] => {
            let actions = recorded(record)?;
            let runs = runs(&actions, &WORKERS);
            let directory = Path::new(directory);
            fs::write(directory.join("simulation.md"), page(record, &actions, &runs)?)?;
            fs::write(directory.join("simulation.svg"), picture(&runs)?)?;
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn recorded(record: &str) -> Result<Vec<Recorded>, String> {
    let csv = fs::read_to_string(record).map_err(|error| format!("{record}: {error}"))?;
    read(&csv).map_err(|error| format!("{record}: {error}"))
}

fn runs(actions: &[Recorded], workers: &[usize]) -> Vec<(usize, Replayed)> {
    let run = |workers: &usize| (*workers, replay(actions, *workers));
    workers.iter().map(run).collect()
}

fn page(record: &str, actions: &[Recorded], runs: &[(usize, Replayed)]) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    writeln!(page, "# A recorded build on farms of any size\n")?;
    writeln!(
        page,
        "`{record}` ({} actions) through the real scheduler, with workers of one slot that need what was recorded and\n\
         {OVERHEAD:?} more for each action. The client asks for an action as soon as what it needs is done. The bound is the work\n\
         divided by the workers, or the longest chain of actions: nobody could be faster. Made by\n\
         `cargo run --release -p simulation --example replay -- {record} docs`.\n",
        actions.len()
    )?;
    writeln!(
        page,
        "![speed-up, bound and utilisation by number of workers](simulation.svg)\n"
    )?;
    page.push_str(&table(runs)?);
    Ok(page)
}

/// Speed-up beside the first of the farms.
fn table(runs: &[(usize, Replayed)]) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    let alone = runs.first().map_or(0.0, |(_, run)| run.span.as_secs_f64());
    writeln!(
        page,
        "| workers | takes | bound | speed-up | utilisation | waits p50 | waits p95 |"
    )?;
    writeln!(page, "|---:|---:|---:|---:|---:|---:|---:|")?;
    for (workers, run) in runs {
        writeln!(
            page,
            "| {workers} | {:.2} s | {:.2} s | {:.1} | {:.0} % | {:.2} s | {:.2} s |",
            run.span.as_secs_f64(),
            run.bound.as_secs_f64(),
            alone / run.span.as_secs_f64(),
            run.utilisation * 100.0,
            run.waited[0].as_secs_f64(),
            run.waited[1].as_secs_f64()
        )?;
    }
    Ok(page)
}

/// Logarithms of workers across; of speed-up upwards, and utilisation in its own colour.
fn picture(runs: &[(usize, Replayed)]) -> Result<String, std::fmt::Error> {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 360.0;
    const MARGIN: f64 = 48.0;
    let most = runs.last().map_or(1.0, |(workers, _)| *workers as f64);
    let across = |workers: usize| MARGIN + (workers as f64).ln() / most.ln() * (WIDTH - 2.0 * MARGIN);
    let up = |part: f64| HEIGHT - MARGIN - part * (HEIGHT - 2.0 * MARGIN);
    let alone = runs[0].1.span.as_secs_f64();
    let speed = |seconds: f64| up((alone / seconds).ln() / most.ln());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let line = |name: &str, colour: &str, dash: &str, y: &dyn Fn(&Replayed) -> f64| {
        let points = runs
            .iter()
            .map(|(workers, run)| format!("{:.1},{:.1}", across(*workers), y(run)));
        format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" points=\"{}\">\
             <title>{name}</title></polyline>\n",
            points.collect::<Vec<_>>().join(" ")
        )
    };
    svg += &line("bound", "#999999", "4 3", &|run| speed(run.bound.as_secs_f64()));
    svg += &line("speed-up", "#1b6ca8", "", &|run| speed(run.span.as_secs_f64()));
    svg += &line("utilisation", "#c4622d", "", &|run| up(run.utilisation));
    for (workers, run) in runs {
        let (x, bottom) = (across(*workers), HEIGHT - MARGIN);
        let gain = alone / run.span.as_secs_f64();
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{workers}</text>",
            bottom + 16.0
        )?;
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#1b6ca8\">{gain:.1}</text>",
            speed(run.span.as_secs_f64()) - 6.0
        )?;
    }
    for (row, (text, colour)) in [
        ("speed-up (logarithmic)", "#1b6ca8"),
        ("the best possible", "#777777"),
        ("utilisation (0 to 100 %)", "#c4622d"),
    ]
    .iter()
    .enumerate()
    {
        let y = 16.0 + 14.0 * row as f64;
        writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{y}\" fill=\"{colour}\">{text}</text>"
        )?;
    }
    writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">workers</text>\n</svg>",
        WIDTH / 2.0,
        HEIGHT - 10.0
    )?;
    Ok(svg)
}
