use super::*;

/// Spacing as the kernel prints it.
const TEXT: &str = "\
memcg     1 /
 node     0
          4     930410        310       8123 
          5     610200          0          0 
          6     305111         40       2210 
          7       2040       1500        641 
memcg    12 /pod7
 node     0
          0     930000          0          0 
          1     620000          0          0 
          2     310000          0          0 
          3       1000          2          0 
memcg    19 /pod7/web
 node     0
          9     900300       1536        512 
         10     600200        700        300 
         11     300100        200        900 
         12     120000       4000       2500 
 node     1
memcg 70211 /pod7/odd name
 node     0
         20     900000          0         77 
         21     600000          0          0 
         22     300000          0          0 
         23      90000         10         12 
memcg     0 /pod7/gone
 node     0
          0     100000          0          5 
";

fn parse(text: &str) -> Dump<'_> {
    Dump::parse(text.as_bytes(), Wanted::All)
}

type Outline = (u64, String, Vec<(u32, Vec<u64>)>);

/// Id, path, and nodes with the numbers of their generations.
fn outline(dump: &Dump<'_>) -> Vec<Outline> {
    let nodes = |memcg: Memcg<'_>| {
        let seqs = |node: Node<'_>| node.generations.iter().map(|line| line.seq).collect();
        memcg.nodes().map(|node| (node.node, seqs(node))).collect()
    };
    dump.memcgs()
        .map(|memcg| (memcg.id(), memcg.path().to_owned(), nodes(memcg)))
        .collect()
}

#[test]
fn text_of_the_kernel_is_read_whole() {
    let dump = parse(TEXT);
    let expected = vec![
        (1, "/".to_owned(), vec![(0, vec![4, 5, 6, 7])]),
        (12, "/pod7".to_owned(), vec![(0, vec![0, 1, 2, 3])]),
        (19, "/pod7/web".to_owned(), vec![(0, vec![9, 10, 11, 12])]),
        (
            70_211,
            "/pod7/odd name".to_owned(),
            vec![(0, vec![20, 21, 22, 23])],
        ),
        (0, "/pod7/gone".to_owned(), vec![(0, vec![0])]),
    ];
    assert_eq!(outline(&dump), expected);
    let web = dump.memcgs().nth(2).unwrap();
    let node = web.nodes().next().unwrap();
    let oldest = Generation {
        seq: 9,
        age_ms: 900_300,
        anon: 1536,
        file: 512,
    };
    assert_eq!(node.oldest(), oldest);
    assert_eq!((node.max_seq(), node.youngest_age_ms()), (12, 120_000));
    assert_eq!((dump.malformed, dump.negative_counts), (0, 0));
}

#[test]
fn only_wanted_paths_are_read() {
    let paths = ["/pod7/odd name".to_owned(), "/none".to_owned()].into();
    let dump = Dump::parse(TEXT.as_bytes(), Wanted::Paths(&paths));
    assert_eq!(
        outline(&dump),
        [(
            70_211,
            "/pod7/odd name".to_owned(),
            vec![(0, vec![20, 21, 22, 23])]
        )]
    );
    let headers = Dump::parse(TEXT.as_bytes(), Wanted::Headers);
    assert_eq!(headers.memcgs().count(), 5);
    assert!(headers.memcgs().all(|memcg| memcg.nodes().next().is_none()));
}

/// D12, L2.
#[test]
fn path_is_the_rest_of_the_header_line_verbatim() {
    for path in [
        "/a b",
        "/a  b",
        "/ a",
        "/a\\x20b ",
        "/memcg 1 /x",
        "/node 0",
        "/é",
        "/a\tb",
        "/1 2 3 4",
    ] {
        let text = format!(
            "memcg     7 {path}\n node     0\n 1 2 3 4\nmemcg 8 /next\n node 0\n 1 2 3 4\n"
        );
        let expected = vec![
            (7, path.to_owned(), vec![(0, vec![1])]),
            (8, "/next".to_owned(), vec![(0, vec![1])]),
        ];
        assert_eq!(outline(&parse(&text)), expected, "{path:?}");
    }
}

#[test]
fn headers_without_id_or_path_are_skipped_with_what_follows() {
    for header in [
        "memcg",
        "memcg 1",
        "memcg 1 ",
        "memcg x /a",
        "memcg 1x /a",
        "memcg -1 /a",
        "memcg 18446744073709551616 /a",
        "memcg 1\t/a",
    ] {
        let text = format!("{header}\n node 0\n 1 2 3 4\nmemcg 8 /next\n node 0\n 1 2 3 4\n");
        assert_eq!(
            outline(&parse(&text)),
            [(8, "/next".to_owned(), vec![(0, vec![1])])],
            "{header:?}"
        );
    }
    let ids = parse("memcg 18446744073709551615 /a\n");
    assert_eq!(outline(&ids), [(u64::MAX, "/a".to_owned(), vec![])]);
    let not_utf8 = Dump::parse(b"memcg 1 /\xff\n node 0\n 1 2 3 4\n", Wanted::All);
    assert_eq!(not_utf8.memcgs().count(), 0);
}

/// L7.
#[test]
fn malformed_line_costs_its_own_cgroup_only() {
    for junk in [
        "junk",
        "1 2 3",
        "1 2 3 4 5",
        "1 2 3 4x",
        "1 2 x 4",
        "1 x 3 4",
        "1 2 3 18446744073709551616",
        "-1 2 3 4",
        "node",
        "node x",
        "node 0 0",
        "node 4294967296",
        "nodes 0",
        "node0",
        "1 9223372036854775808 3 4",
        "\r",
        "memcgs 1 /a",
        "1 2 memcg 5 /no",
        "node memcg 5 /no",
    ] {
        let text = format!(
            "memcg 6 /before\n node 0\n 1 2 3 4\nmemcg 7 /bad\n node 0\n 1 2 3 4\n{junk}\n 2 2 3 4\nmemcg 8 /after\n node 0\n 1 2 3 4\n"
        );
        let dump = parse(&text);
        let expected = vec![
            (6, "/before".to_owned(), vec![(0, vec![1])]),
            (8, "/after".to_owned(), vec![(0, vec![1])]),
        ];
        assert_eq!(outline(&dump), expected, "{junk:?}");
        assert_eq!(dump.malformed, 1, "{junk:?}");
    }
}

#[test]
fn generation_before_any_node_is_malformed() {
    assert_eq!(outline(&parse("memcg 7 /bad\n 1 2 3 4\n")), []);
}

#[test]
fn lines_before_the_first_header_are_skipped() {
    let text = "junk\n 1 2 3 4\n node 0\n\nmemcg 8 /a\n node 0\n 1 2 3 4";
    assert_eq!(
        outline(&parse(text)),
        [(8, "/a".to_owned(), vec![(0, vec![1])])]
    );
    assert_eq!(outline(&parse("")), []);
}

/// L3.
#[test]
fn of_a_node_that_occurs_twice_the_one_with_lines_counts() {
    let cases = [
        ("node 0\n 1 2 3 4\n node 0\n", vec![(0, vec![1])]),
        ("node 0\n node 0\n 1 2 3 4\n", vec![(0, vec![1])]),
        ("node 0\n 1 2 3 4\n node 0\n 2 2 3 4\n", vec![(0, vec![2])]),
        (
            "node 5\n 1 2 3 4\n node 1\n 2 2 3 4\n node 5\n 3 2 3 4\n",
            vec![(1, vec![2]), (5, vec![3])],
        ),
    ];
    for (nodes, expected) in cases {
        let text = format!("memcg 7 /a\n{nodes}");
        assert_eq!(
            outline(&parse(&text)),
            [(7, "/a".to_owned(), expected)],
            "{nodes:?}"
        );
    }
}

/// L4.
#[test]
fn counts_below_zero_are_none_and_ages_may_be_negative() {
    let dump = parse("memcg 7 /a\n node 0\n 1 -5 -0 4\n 2 4294967295 3 -9\n");
    let memcg = dump.memcgs().next().unwrap();
    let node = memcg.nodes().next().unwrap();
    let counts: Vec<_> = node
        .generations
        .iter()
        .map(|line| (line.age_ms, line.anon, line.file))
        .collect();
    assert_eq!(counts, [(-5, 0, 4), (4_294_967_295, 3, 0)]);
    assert_eq!(dump.negative_counts, 2);
    assert_eq!(node.youngest_age_ms(), -5);
}

#[test]
fn order_of_the_lines_does_not_matter_for_the_oldest() {
    let dump = parse("memcg 7 /a\n node 0\n 9 10 1 1\n 7 30 2 2\n 8 20 3 3\n");
    let memcg = dump.memcgs().next().unwrap();
    let node = memcg.nodes().next().unwrap();
    assert_eq!(
        (node.oldest().anon, node.oldest().seq, node.max_seq()),
        (2, 7, 9)
    );
}

#[test]
fn blank_lines_tabs_and_a_missing_end_of_line_are_fine() {
    let text = "\n\tmemcg 7 /a\n\n \tnode\t0\t\n\n\t1\t2  3 \t4\t \n\n\n";
    assert_eq!(
        outline(&parse(text)),
        [(7, "/a".to_owned(), vec![(0, vec![1])])]
    );
    let text = "memcg 7 /a\nnode 0\n1 2 3 4";
    assert_eq!(
        outline(&parse(text)),
        [(7, "/a".to_owned(), vec![(0, vec![1])])]
    );
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a hostile name puts into a header, the neighbours are read.
        #[test]
        fn hostile_path_affects_its_own_cgroup_only(name in "[^\n]{0,40}") {
            let text = format!("memcg 6 /before\n node 0\n 1 2 3 4\nmemcg 7 /{name}\n node 0\n 1 2 3 4\nmemcg 8 /after\n node 0\n 1 2 3 4\n");
            let dump = parse(&text);
            let paths: Vec<_> = dump.memcgs().map(|memcg| (memcg.id(), memcg.path())).collect();
            let hostile = format!("/{name}");
            prop_assert_eq!(paths, [(6, "/before"), (7, hostile.as_str()), (8, "/after")]);
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let dump = Dump::parse(&text, Wanted::All);
            prop_assert!(dump.memcgs().flat_map(|memcg| memcg.nodes()).all(|node| !node.generations.is_empty()));
        }

        #[test]
        fn any_mix_of_words_is_read_without_panic(words in "((memcg|node|/|[0-9]{1,21}|-[0-9]|x)[ \t\n]{1,3}){0,60}") {
            let dump = parse(&words);
            for memcg in dump.memcgs() {
                let nodes: Vec<u32> = memcg.nodes().map(|node| node.node).collect();
                prop_assert!(nodes.is_sorted_by(|a, b| a < b));
            }
        }

        /// What is printed is what is read.
        #[test]
        fn printed_dumps_are_read_back(memcgs in proptest::collection::vec(
            (1_u64.., "/[a-z /]{0,12}", proptest::collection::btree_map(0_u32..9, 1_usize..5, 0..3)), 0..6,
        )) {
            let mut text = String::new();
            for (id, path, nodes) in &memcgs {
                text.push_str(&format!("memcg {id:5} {path}\n"));
                for (node, lines) in nodes {
                    text.push_str(&format!(" node {node:5}\n"));
                    for seq in 0..*lines {
                        text.push_str(&format!(" {seq:10} {:10} {:10} {:10} \n", 1000 - seq, seq * 7, 3));
                    }
                }
            }
            let expected: Vec<_> = memcgs
                .iter()
                .map(|(id, path, nodes)| {
                    let nodes = nodes.iter().map(|(node, lines)| (*node, (0..*lines as u64).collect()));
                    (*id, path.clone(), nodes.collect::<Vec<_>>())
                })
                .collect();
            prop_assert_eq!(outline(&parse(&text)), expected);
        }
    }
}
