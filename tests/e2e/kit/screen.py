"""What a terminal shows: text and control sequences made into lines. Consoles of Windows (Wine's most of all) draw with the cursor, so that what
one reads there is nowhere in the bytes."""
import re
import unicodedata

SEQUENCE = re.compile(r"\x1b(?:\[([0-9;?<>=!]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Za-z0-9]|[ -/]*[0-~])")


def width(char):
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


class Screen:
    def __init__(self, rows=24, columns=80):
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.saved = 0, 0
        self.gone = []  # lines that went off at the top
        self.rest = ""
        self.colours = set()  # parameters of all that was asked for

    def feed(self, text):
        text = self.rest + text
        at = 0
        while at < len(text):
            char = text[at]
            if char == "\x1b":
                match = SEQUENCE.match(text, at)
                if not match:
                    if len(text) - at > 4096:
                        raise AssertionError(f"no control sequence: {text[at:at + 60]!r}")
                    break
                if match.group(2):
                    self._control(match.group(1), match.group(2))
                elif match.group() == "\x1b7":
                    self.saved = self.row, self.column
                elif match.group() == "\x1b8":
                    self.row, self.column = self.saved
                at = match.end()
                continue
            self._put(char)
            at += 1
        self.rest = text[at:]
        return self

    def _put(self, char):
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self._down()
        elif char == "\b":
            self.column = max(0, self.column - 1)
        elif char == "\t":
            self.column = min(self.columns - 1, self.column // 8 * 8 + 8)
        elif char >= " ":
            wide = width(char)
            if self.column + wide > self.columns:
                self.column = 0
                self._down()
            if wide == 0:
                self.cells[self.row][max(0, self.column - 1)] += char
                return
            self.cells[self.row][self.column] = char
            if wide == 2:
                self.cells[self.row][self.column + 1] = ""
            self.column += wide

    def _down(self):
        if self.row + 1 < self.rows:
            self.row += 1
            return
        self.gone.append(self._line(0))
        self.cells = self.cells[1:] + [[" "] * self.columns]

    def _control(self, text, final):
        numbers = [int(word) if word.isdigit() else 0 for word in text.split(";")] if text else []
        first = numbers[0] if numbers else 0
        if final in "Hf":
            self.row = min(max(first, 1), self.rows) - 1
            self.column = min(max(numbers[1] if len(numbers) > 1 else 1, 1), self.columns) - 1
        elif final in "ABCDG":
            n = max(first, 1)
            self.row = min(max(self.row + {"A": -n, "B": n}.get(final, 0), 0), self.rows - 1)
            self.column = n - 1 if final == "G" else min(max(self.column + {"C": n, "D": -n}.get(final, 0), 0), self.columns - 1)
        elif final == "d":
            self.row = min(max(first, 1), self.rows) - 1
        elif final == "J":
            self._clear_line({0: 0, 1: 1, 2: 2}.get(first, 2))
            for row in range(self.rows):
                if first >= 2 or (first == 0 and row > self.row) or (first == 1 and row < self.row):
                    self.cells[row] = [" "] * self.columns
        elif final == "K":
            self._clear_line(first)
        elif final == "X":
            for column in range(self.column, min(self.column + max(first, 1), self.columns)):
                self.cells[self.row][column] = " "
        elif final == "m":
            self.colours.update(numbers or [0])

    def _clear_line(self, which):
        begin, end = {0: (self.column, self.columns), 1: (0, self.column + 1)}.get(which, (0, self.columns))
        self.cells[self.row][begin:end] = [" "] * (end - begin)

    def _line(self, row):
        return "".join(self.cells[row]).rstrip()

    def lines(self):
        """All lines, those that went off first; without empty ones at the end."""
        found = self.gone + [self._line(row) for row in range(self.rows)]
        while found and not found[-1]:
            found.pop()
        return found

    def text(self):
        return "\n".join(self.lines())
