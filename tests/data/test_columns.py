"""The user's column files: what is a word, what is a comment, and the line that is named when one cannot be read."""

import hypothesis
import hypothesis.strategies as st
import pytest

from rnn_jax.data.columns import read_column_file, write_columns
from rnn_jax.errors import UserError


@pytest.fixture
def read(tmp_path):
    def read(content, **options):
        path = tmp_path / "a.conll"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_column_file(str(path), **options)

    return read


CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

-DOCSTART- -X- -X- O

Peter NNP B-NP B-PER
"""

CONLL_U = """# sent_id = 1
# text = I don't.
1\tI\tI\tPRON\t_
2-3\tdon't\t_\t_\tSpaceAfter=No
2\tdo\tdo\tAUX\t_
3\tn't\tnot\tPART\t_
4\t.\t.\tPUNCT\t_

# sent_id = 2
1\t10 000\t10 000\tNUM\t_
"""


def test_first_and_last_column(read):
    sentences = read(CONLL_2003)
    assert sentences.tokens == [["EU", "rejects"], ["Peter"]]
    assert sentences.labels == [["B-ORG", "O"], ["B-PER"]]
    assert sentences.lines == [[3, 4], [8]]


def test_everything_allowed_in_white_space(read):
    sentences = read(b"\xef\xbb\xbf\r\n \r\n  caf\xc3\xa9 \t N \r\nis\tV\r\n\t\r\n\n10\xc2\xa0000   N\nof  P")
    assert sentences.tokens == [["café", "is"], ["10\u00a0000", "of"]]  # a no-break space belongs to its word
    assert sentences.labels == [["N", "V"], ["N", "P"]]
    assert sentences.lines == [[3, 4], [7, 8]]


@pytest.mark.parametrize(
    "options",
    [
        {"columns": ("1", "3")},
        {"columns": ("-4", "-2")},
        {"columns": ("id", "form", "lemma", "upos", "_"), "label_field": "upos"},
        {"columns": ("id", "form", "lemma", "upos", "misc"), "label_field": "upos", "token_field": "form"},
        {"columns": ("_", "FORM", "_", "upos", "_")},
        {"columns": ("word", "token", "_", "text", "_"), "label_field": "text", "token_field": "token"},
        {"columns": ("id", "form", "_", "text", "_"), "label_field": "text"},
        {"columns": ("id", "_", "_", "upos", "-"), "token_field": "id", "words": [["1", "2-3", "2", "3", "4"], ["1"]]},
        {"columns": ("text", "word", "_", "upos", "_"), "token_field": "word", "label_field": "upos"},
    ],
)
def test_ways_to_name_the_columns(read, options):
    words = options.get("words", [["I", "don't", "do", "n't", "."], ["10 000"]])
    sentences = read(CONLL_U, **{name: value for name, value in options.items() if name != "words"})
    assert sentences.tokens == words
    assert sentences.labels == [["PRON", "_", "AUX", "PART", "PUNCT"], ["NUM"]]
    assert sentences.lines == [[3, 4, 5, 6, 7], [10]]


def test_every_column_has_a_name(read):
    message = r"a.conll:3: 5 columns where --columns=form,lemma,upos names 3; one that is not used is called '_'"
    with pytest.raises(UserError, match=message):
        read(CONLL_U, columns=("form", "lemma", "upos"), label_field="upos")


def test_a_label_may_come_before_its_word(read):
    assert read("N a\nV b\n", columns=("-1", "0")).tokens == [["a", "b"]]
    assert read("N a\nV b\n", columns=("tag", "token")).labels == [["N", "V"]]


class TestWithoutLabels:
    def test_words_alone(self, read):
        assert read("a\n\nb\nc\n", need_labels=False)[:3] == ([["a"], ["b", "c"]], None, [[1], [3, 4]])

    def test_labels_are_read_where_there_are_some(self, read):
        assert read("a N\n", need_labels=False).labels == [["N"]]

    @pytest.mark.parametrize("columns", [("0",), ("0", "3"), ("0", "-1"), ("form", "upos"), ("form", "_", "x", "y")])
    def test_columns_of_the_training_file_fit_a_file_of_words(self, read, columns):
        assert read("a\nb\n", columns=columns, need_labels=False)[:3] == ([["a", "b"]], None, [[1, 2]])

    def test_nobody_needs_to_choose_between_labels(self, read):
        sentences = read("a N x\n", columns=("form", "upos", "ner"), need_labels=False)
        assert (sentences.tokens, sentences.labels) == ([["a"]], None)
        assert read("a N x\n", columns=("0",), need_labels=False).labels is None

    def test_words_must_be_there(self, read):
        with pytest.raises(UserError, match=r"a.conll:1: 1 column, so --columns=1,3 gives the words none"):
            read("a\n", columns=("1", "3"), need_labels=False)
        with pytest.raises(UserError, match=r"a.conll:1: 1 column where --columns=id,form,upos names 3"):
            read("a\n", columns=("id", "form", "upos"), need_labels=False)


class TestHashes:
    """A line with "#" is a word or a comment."""

    def test_comments_before_sentences(self, read):
        for comment in ("# text = a b", "#", "#comment", "# two", "#\tid = 1\t", "# a\tb", "#global.columns = A B"):
            sentences = read(f"{comment}\na\tN\n\n{comment}\n{comment}\nb\tN\n")
            assert sentences[:3] == ([["a"], ["b"]], [["N"], ["N"]], [[2], [6]]), comment

    def test_words_inside_a_sentence(self, read):
        assert read("a N\n# N\n#x N\n").tokens == [["a", "#", "#x"]]
        assert read("a\tN\n#\tN\n# x\tN\n").tokens == [["a", "#", "# x"]]

    def test_words_at_the_start(self, read):
        assert read("#\tN\nb\tN\n\n#x\tN\n").tokens == [["#", "b"], ["#x"]]
        assert read("#x N\nb N\n\n#y N\n").tokens == [["#x", "b"], ["#y"]]
        assert read("#x\nb\n\n#y\n", need_labels=False).tokens == [["#x", "b"], ["#y"]]

    def test_between_spaces_one_alone_is_a_comment(self, read):
        assert read("# N\nb N\n").tokens == [["b"]]

    def test_comments_within_a_sentence_are_refused(self, read):
        with pytest.raises(UserError, match=r"a.conll:2: 4 columns where line 1 has 2. Comments may stand before"):
            read("a N\n# text = a\nb N\n")


def test_documents_end_sentences_and_count_for_nothing(read):
    sentences = read("-DOCSTART-\na N\n-DOCSTART- -X- O O\n\nb N\n-DOCSTART-\n\n")
    assert sentences[:3] == ([["a"], ["b"]], [["N"], ["N"]], [[2], [5]])
    assert read("1\t-DOCSTART-\tO\n1\ta\tO\n", columns=("1", "2")).tokens == [["a"]]


PROPBANK = """#begin document (bc/cctv); part 000
bc 0 In IN (AM* *
bc 1 it PRP *) (A0*

#hashtag
bc 0 Yes UH

bc 0 Go VB (V*) * *
bc 1 # SYM * * *
#end document
"""


class TestColumnsThatVaryBySentence:
    def test_numbers_from_the_first_one(self, read):
        content = PROPBANK.replace("#end document\n", "\n#end document\n")
        sentences = read(content, columns=("2", "3"))
        assert sentences.tokens == [["In", "it"], ["Yes"], ["Go", "#"]]
        assert sentences.labels == [["IN", "PRP"], ["UH"], ["VB", "SYM"]]
        assert sentences.lines == [[2, 3], [6], [8, 9]]

    def test_one_sentence_has_one_width(self, read):
        with pytest.raises(UserError, match=r"a.conll:10: 2 columns where line 8 has 7. Comments may stand before"):
            read(PROPBANK, columns=("2", "3"))
        with pytest.raises(UserError, match=r"a.conll:2: 3 columns where line 1 has 4. The line is"):
            read("a b c d\na b c\n", columns=("0", "2"))

    def test_every_sentence_has_enough(self, read):
        with pytest.raises(UserError, match=r"a.conll:6: 4 columns, so --columns=2,4 gives the labels none"):
            read(PROPBANK, columns=("2", "4"))

    @pytest.mark.parametrize("columns", [(), ("2", "-1"), ("-4", "3"), ("a", "b", "form", "pos", "_", "_")])
    def test_others_want_one_width_and_say_what_helps(self, read, columns):
        with pytest.raises(UserError, match=r"a.conll:6: 4 columns where line 2 has 6. .* as in --columns=0,3"):
            read(PROPBANK, columns=columns, label_field="pos" if "pos" in columns else "")


CONLL_U_10 = """# text = I don't.
1\tI\ti\tPRON\tPRP\t_\t3\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
2\tdo\tdo\tAUX\tVBP\t_\t3\taux\t_\t_
3\tn't\tnot\tPART\tRB\t_\t0\troot\t_\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t0:root\t_

1\tNo\tno\tINTJ\tUH\t_\t0\troot\t_\t_
"""
WORDS_10 = [["I", "don't", "do", "n't", "go"], ["No"]]


class TestConllU:
    @pytest.mark.parametrize(
        ("options", "labels"),
        [
            ({}, [["PRON", "_", "AUX", "PART", "VERB"], ["INTJ"]]),
            ({"columns": ("form", "upos")}, [["PRON", "_", "AUX", "PART", "VERB"], ["INTJ"]]),
            ({"columns": ("XPOS", "FORM")}, [["PRP", "_", "VBP", "RB", "VB"], ["UH"]]),
            ({"label_field": "deprel"}, [["nsubj", "_", "aux", "root", "_"], ["root"]]),
            ({"columns": ("1", "4")}, [["PRP", "_", "VBP", "RB", "VB"], ["UH"]]),
            (
                {"columns": ("_", "word", "_", "_", "_", "_", "_", "x", "_", "_")},
                [["nsubj", "_", "aux", "root", "_"], ["root"]],
            ),
        ],
    )
    def test_columns_are_known_by_name(self, read, options, labels):
        sentences = read(CONLL_U_10, **options)
        assert (sentences.tokens, sentences.labels) == (WORDS_10, labels)
        assert bool(sentences.note) == (not options.get("columns"))

    def test_what_nobody_asked_for_is_said(self, read):
        assert read(CONLL_U_10).note.startswith("read as CoNLL-U, words from form and labels from upos; --label_field")

    def test_other_names(self, read):
        with pytest.raises(UserError, match=r"10 columns where --columns=form,tag names 2"):
            read(CONLL_U_10, columns=("form", "tag"))
        with pytest.raises(UserError, match=r"--label_field=tag is none of the columns: CoNLL-U, id,form,lemma,upos"):
            read(CONLL_U_10, label_field="tag")

    def test_ten_columns_that_count_nothing_are_others(self, read):
        content = "\n".join("\t".join([word, *"bcdefghi", label]) for word, label in (("1", "N"), ("5", "V")))
        assert read(content).tokens == [["1", "5"]] and read(content).labels == [["N", "V"]]

    def test_other_files_whose_first_column_counts(self, read):
        germeval = "# source\n1\tBonn\tB-LOC\tO\n2\tist\tO\tO\n\n# source\n1\tJa\tO\tO\n"
        with pytest.raises(UserError, match=r"a.conll:2: the first column counts the words .* as in --columns=1,2"):
            read(germeval)
        assert read(germeval, columns=("1", "2")).tokens == [["Bonn", "ist"], ["Ja"]]
        assert read("1 CD N\n\n1 CD N\n").tokens == [["1"], ["1"]]  # too little to tell


MALFORMED = {
    "too few columns": ("a N O\nb N\n", {}, r"a.conll:2: 2 columns where line 1 has 3. The line is 'b N'"),
    "too many columns": ("# c\na\tN\n\nb c\tN\tO\n", {}, r"a.conll:4: 3 columns where line 2 has 2.*'b c\\tN\\tO'"),
    "long line": ("a N\n" + "x " * 99, {}, r"a.conll:2: 99 columns .* The line is '(x ){29}x…'\.$"),
    "no label": ("a\tN\nb\t \n", {}, r"a.conll:2: the label \(column 1, counted from 0\) is empty"),
    "no word": ("a\tN\n\tN\n", {}, r"a.conll:2: the word \(column 0, counted from 0\) is empty"),
    "no labels": ("\na\nb\n", {}, r"a.conll:2: 1 column, so the file has no labels.*'a'"),
    "no such label": ("a N\n", {"columns": ("0", "3")}, r"l:1: 2 columns, so --columns=0,3 gives the labels none"),
    "no such word": ("a N\n", {"columns": ("-3", "1")}, r"l:1: 2 columns, so --columns=-3,1 gives the words none"),
    "same column": ("a N\n", {"columns": ("1", "-1")}, r"l:1: 2 columns, so --columns=1,-1 gives the labels none"),
    "too many names": ("a N\n", {"columns": ("form", "tag", "_")}, r"a.conll:1: 2 columns where .*form,tag,_ names 3"),
    "empty": ("", {}, r"a.conll: no sentences"),
    "comments only": ("# a\n\n#x\n-DOCSTART- O\n", {}, r"a.conll: no sentences"),
    "a header": ("# c\nWord\tx\tPOS\na\tb\tN\n", {}, r"a.conll:2: this seems to be a header.*delete the line. .*'Word"),
    "a longer header": ("tokens ner_tags\n\na N\n", {}, r"a.conll:1: this seems to be a header"),
    "line ends of old Macs": ("a N\rb N\r\rc O\r", {}, r"a.conll: its lines end with a carriage return alone.*by tr"),
    "a note for Excel": ("sep=;\na N\n", {}, r"a.conll:1: 'sep=;' tells Excel .*delete the line"),
    "commas": ("a,N\nb,O\n", {}, r"a.conll:1: 1 column, so the file has no labels.* with tabs or spaces between them"),
    "not UTF-8": (b"a N\ncaf\xe9 N\n", {}, r"a.conll:2: not UTF-8 \(byte 0xe9"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_name_the_line(read, case):
    content, options, message = MALFORMED[case]
    with pytest.raises(UserError, match=message) as caught:
        read(content, **options)
    assert "\n" not in str(caught.value)


IMPOSSIBLE = {
    "three numbers": ({"columns": ("0", "1", "2")}, r"--columns=0,1,2: two different numbers"),
    "equal numbers": ({"columns": ("1", "1")}, r"--columns=1,1: two different numbers"),
    "one number": ({"columns": ("0",)}, r"--columns=0 has no labels: .*--columns=0,-1"),
    "one name": ({"columns": ("form", "_")}, r"--columns=form,_ has no labels"),
    "mixed": ({"columns": ("form", "3")}, r"--columns=form,3 mixes names and numbers"),
    "no name for words": ({"columns": ("a", "b")}, r"--columns=a,b: none is called tokens.*--token_field"),
    "two for words": ({"columns": ("form", "Text", "upos")}, r"form, Text can all be the words; .*--token_field"),
    "two for labels": ({"columns": ("form", "upos", "ner")}, r"upos, ner can all be the labels; .*--label_field"),
    "unknown label": ({"columns": ("form", "upos"), "label_field": "ner"}, r"--label_field=ner is none of the columns"),
    "unknown word": ({"columns": ("form", "upos"), "token_field": "_"}, r"--token_field=_ is none of the columns"),
    "one for both": ({"columns": ("form", "x"), "token_field": "x", "label_field": "x"}, r"are both 'x'"),
    "name twice": ({"columns": ("form", "x", "x")}, r"--columns=form,x,x names 'x' twice"),
    "field of nothing": ({"label_field": "upos"}, r"^--label_field=upos: column files have no header.*--columns="),
    "field of numbers": ({"columns": ("0", "1"), "token_field": "form"}, r"^--token_field=form: column files have no"),
}  # fmt: skip


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible_columns(read, case):
    options, message = IMPOSSIBLE[case]
    with pytest.raises(UserError, match=message) as caught:
        read("a b c\n", **options)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read the data file .*no.conll: No such file"):
        read_column_file(str(tmp_path / "no.conll"))
    with pytest.raises(UserError, match=r"Cannot read the data file .*: Is a directory"):
        read_column_file(str(tmp_path))


def test_writing():
    assert write_columns(["EU", "10 000"], ["B-ORG", "O"]) == "EU\tB-ORG\n10 000\tO\n\n"
    assert write_columns(["a\tb\nc\r\nd"], ["x\ty"]) == "a b c d\tx y\n\n"
    assert write_columns([], []) == "\n"
    with pytest.raises(ValueError, match="shorter"):
        write_columns(["a", "b"], ["O"])


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("#a "), min_size=1)
words = words.map(str.strip).filter(lambda word: word and not word.startswith("# ") and word != "-DOCSTART-")
sentences = st.lists(st.lists(st.tuples(words, words), min_size=1, max_size=4), min_size=1, max_size=4)


@hypothesis.given(sentences=sentences)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(read, sentences):
    # A file of hashtags alone has nothing that tells how many columns there are.
    sentences = [[("a", "N")], *sentences]
    tokens = [[word for word, _ in sentence] for sentence in sentences]
    labels = [[label for _, label in sentence] for sentence in sentences]
    found = read("".join(map(write_columns, tokens, labels)))
    assert (found.tokens, found.labels) == (tokens, labels)
    assert [len(row) for row in found.lines] == [len(row) for row in tokens]
