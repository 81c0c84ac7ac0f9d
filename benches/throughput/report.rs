//! The table, in Markdown, with what it was measured on.

use std::process::Command;

use crate::scenarios::Row;

/// Prints the circumstances and the table.
pub fn print(rows: &[Row]) {
    let output = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.unwrap_or_default()
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map(|model| model.trim_start_matches([' ', '\t', ':'])).unwrap_or("CPU");
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let all = cpu.lines().filter(|line| line.starts_with("processor")).count().max(cores);
    println!(
        "Measured on {}, {}, {all} cores of {model}; server on core 0, load client on core 1.\n",
        output("date", "+%F"),
        output("uname", "-sr"),
    );
    println!(
        "| server | scenario | transport | delivered/s | p50 ms | p99 ms | server CPU µs each \
         | KB per connection | client busy |"
    );
    println!("|---|---|---|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        println!("{}", line(row));
    }
}

/// One line of the table.
pub fn line(row: &Row) -> String {
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => String::new(),
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {:.0} % |",
        row.server,
        row.scenario,
        if row.tls { "TLS" } else { "plain" },
        number(row.per_second, 0),
        number(row.latency_ms.map(|(p50, _)| p50), 2),
        number(row.latency_ms.map(|(_, p99)| p99), 2),
        number(row.cpu_us, 2),
        number(row.bytes_per_connection.map(|bytes| bytes / 1024.0), 1),
        row.client_busy * 100.0,
    )
}
