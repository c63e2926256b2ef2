"""A stand-in for the SMS Spam Collection: messages from a small grammar, in its file format.

For demonstrations and tests that must not need the network. Everything is made up here; nothing is
taken from the collection. The classes overlap on purpose (friends who write about money, prizes
and links; spam that sounds like a friend), so that a classifier has something to get wrong, but
what is found on these messages says nothing about GPT-2 or about real spam.
"""

import argparse
import re
from pathlib import Path
from random import Random

from ablations import cli
from ablations.files import write_text

SPAM_SHARE = 0.4
REPEATED_SHARE = 0.03  # messages sent before, word for word, as in the real collection
BYTES = range(20, 111)  # of a message in UTF-8: what a model pays grows with the longest

# {name} stands for one of the lines under that name, # for a digit.
GRAMMAR = {
    "ham": """
        {plan}
        {plan}
        {plan} {closing}
        {greeting} {plan}
        {greeting} {plan}
        {greeting} {chat} {plan}
        {chat}
        {chat} {closing}
        {greeting} {chat}
        {errand}
        {errand} {closing}
        {greeting} {errand}
        {chat} {errand}
        {news}
        {greeting} {news}
        {news} {closing}
        {ham_like_spam}
        {greeting} {ham_like_spam}
        {ham_like_spam} {closing}
        {either}
        """,
    "spam": """
        {prize} {claim}
        {prize} {claim}
        {hook} {prize} {claim}
        {hook} {offer} {order}
        {offer} {order}
        {offer} {order} {terms}
        {loan} {order}
        {hook} {loan} {order}
        {dating} {reply}
        {greeting} {dating} {reply}
        {delivery} {link_now}
        {delivery} {link_now}
        {account} {link_now}
        {account} {claim}
        {spam_like_ham}
        {greeting} {spam_like_ham}
        {greeting} {spam_like_ham}
        {spam_like_ham} {closing}
        {either}
        """,
    # what anyone may write
    "greeting": """
        Hi {friend},
        Hey {friend}!
        Hello {friend}.
        Hi!
        Hey,
        Hiya,
        Evening!
        Sorry,
        Oh and
        Listen,
        """,
    "closing": """
        x
        xx
        Thanks!
        Call me.
        Text me back
        Let me know
        ok?
        :)
        See you {day}
        Love {friend}
        Take care
        Reply when free
        """,
    "either": """
        Hi its {friend}, this is my new number {mobile}. Text me!
        {friend} here, got a new phone. Save this number ok? {mobile}
        Call me on {mobile} when you get this, its about {day}
        Are you free {day}? Call me {daytime} on {mobile}
        I tried to call you earlier but no answer. Call {mobile}
        Have you seen this? {link}
        The {thing} is still free if you want it, text me back
        You left your {thing} here. Want me to send it?
        Did you get my last message? Reply please
        Your {thing} is ready to collect, we close at {hour}
        Reminder: your appointment is {day} at {hour}. Call {mobile} to change it
        """,
    # everyday life
    "plan": """
        are we still on for {meal} {day}?
        do you want to get {meal} at {hour}?
        I'm at {place}, where are you?
        meet me at {place} {day} at {hour}.
        can't make it {day}, {excuse}.
        running late, be there at {hour}.
        shall we watch {show} {daytime}?
        I'll pick you up from {place} at {hour}.
        what time does {friend} get to {place}?
        we are going to {place} {day}, are you coming?
        just leaving {place} now, home by {hour}.
        bus is late again so start {meal} without me.
        is {friend} coming to {place} too?
        {friend} wants to know if you can come {day}.
        how about {place} instead? it's quieter.
        """,
    "chat": """
        how was {place} today?
        how are you feeling now?
        so tired, {excuse}.
        did you sleep ok?
        haha that's what {friend} said too.
        I can't stop thinking about {show}.
        you were right about {friend}.
        it's raining so hard here.
        miss you loads.
        ok no problem.
        I don't know yet, ask {friend}.
        the kids are asleep at last.
        {excuse}, what a day.
        hope the exam went well.
        happy birthday! hope you have a lovely day.
        that {thing} was so funny.
        my head hurts, going to bed.
        """,
    "errand": """
        can you buy {food} on the way home?
        we need {food} and {food}.
        don't forget to pay the rent {day}.
        did you feed the cat?
        please bring my {thing} {day}.
        I left my {thing} at {place}, can you look?
        could you ring mum, she is worried.
        have you got {friend}'s address?
        the plumber comes {day} at {hour}.
        can you print the form for me?
        put the oven on at {hour} please.
        wash my {thing} if you have time.
        """,
    "news": """
        {friend} got the job!
        {friend} is back from {city}.
        {friend} passed the driving test {day}!
        the match was awful, we lost # nil.
        mum says the operation went fine.
        my boss moved the meeting to {hour}.
        guess who I saw at {place}.
        we found a flat near {place}.
        {friend} and {friend} are getting married!
        the car broke down near {place}.
        exam results come out {day}.
        the dog ate my {thing}.
        """,
    "ham_like_spam": """
        I won ## quid on the lottery, drinks on me!
        there is a free concert at {place} {day}.
        can you lend me £##? pay you back {day}.
        did you get the cash I put in your account?
        the bank rang about my loan, they said no.
        your parcel came, I put it in the kitchen.
        {friend} won a prize at {place}, so proud.
        buy one get one free on {food} at {place}.
        call the bank before {hour}, they have a question about the account.
        my phone contract is up, any good offers?
        urgent! call me now, I lost my {thing}.
        my credit is nearly out, text you {day}.
        send me the link to the tickets again? {link}
        the delivery came to my door by mistake, it's yours.
        are you free to chat? I feel lonely here.
        I need to claim the train fare back, have you got the form?
        congratulations on the baby!
        got my order from {shop}, the {thing} is great.
        cheap flights to {city}, shall we book now? {link}
        what's the code for the door? is it ####?
        """,
    # what spam wants
    "hook": """
        URGENT!
        Congratulations!
        WINNER!
        Last chance!
        Hi {friend},
        Important:
        Free message:
        Dear customer,
        FINAL notice:
        Great news!
        Private!
        Dear winner,
        """,
    "prize": """
        You have won {reward}!
        Your number was picked for {reward}.
        You are selected to receive {reward}.
        {reward} is waiting for you.
        Your {month} draw entry won {reward}.
        We tried to contact you about {reward}.
        Lucky you, {reward} is yours today.
        """,
    "claim": """
        Call {premium} now
        Claim on {premium}
        Text {keyword} to {short}
        To claim go to {link}
        Reply {keyword} to claim
        Claim code {code}. Ends {day}
        Ring {premium} before {hour} {day}
        """,
    "offer": """
        New {tone} every week.
        Get the {tone} everyone has.
        # free {tone}s for your phone.
        Half price {thing}s at {shop} until {day}.
        Upgrade to a new {gadget} for free.
        ### free minutes and texts a month.
        Cheap flights to {city} from £##.
        Lose #kg by {month} with our tea.
        Join our poker night, £## bonus.
        Your {month} voucher for {shop} is here.
        """,
    "order": """
        Text {keyword} to {short}
        Order at {link}
        Call {premium}
        Reply YES for yours
        Reply {keyword} to start
        See {link}
        Txt {keyword} now to {short}, #0p
        """,
    "terms": """
        18+ only
        £#.50/week
        Stop? Reply STOP
        T&C at {link}
        Cost #0p/min
        To end text STOP
        """,
    "loan": """
        Need cash {day}? Borrow £#00.
        Loans up to £#000, bad credit ok.
        Your loan of £#000 is approved.
        Pay off your debts in {month}.
        You may be owed £#### for your accident.
        No credit check, cash by {hour}.
        """,
    "dating": """
        {girl} near you wants to chat.
        Someone you know fancies you.
        A secret admirer is looking for you.
        I'm {girl}, 2# and bored at home.
        # singles in {city} saw your profile.
        Feeling lonely {daytime}? Live chat.
        """,
    "reply": """
        Call {premium}
        Reply {keyword} to chat
        Who? Text {short}
        Find out on {premium}
        See her at {link}
        Text back now, 18+
        """,
    "delivery": """
        Your parcel is held, £#.## to pay.
        We missed you {day}, parcel {code}.
        Delivery of your {thing} failed.
        Your order from {shop} could not be sent.
        Parcel {code} is waiting.
        """,
    "account": """
        Your {shop} account is locked.
        A payment of £### left your account.
        New login to your account from {city}.
        Your phone contract ends {day}.
        Your card was used in {city} at {hour}.
        """,
    "link_now": """
        Pay at {link}
        Rebook: {link}
        See {link}
        Check it now {link}
        Go to {link} before {hour}
        Not you? Call {premium}
        """,
    "spam_like_ham": """
        I saw you at {place} {day}, want to meet? Text {short}
        it's {girl}, lost my phone, can you send me £##?
        are you coming {day}? pics at {link}
        can you talk {daytime}? I'm on {premium}
        guess who likes you? I'll tell you, call {premium}
        is this still your number? I've good news from the bank
        we should have {meal} {day}, I'm {girl} from {city}
        I made £### at home {day}, ask me how
        {friend} said you need a job, £## an hour, call me
        mum I broke my phone, use this number, need £### today
        thanks for coming, your gift is at {link}
        I put the pictures of {place} here {link}
        you owe me for {meal}, send it to {link} haha
        do you want my ticket to {show}? only £##, text me
        I'm bored, are you home? call {premium}
        """,
    # words
    "friend": """
        Amy
        Ben
        Carla
        Dev
        Ella
        Femi
        Gus
        Hana
        Ivan
        Jo
        Karim
        Lucy
        Mei
        Noah
        Zoë
        mate
        love
        """,
    "girl": """
        Amy
        Bella
        Carla
        Jo
        Kim
        Lucy
        Zoë
        """,
    "day": """
        today
        tonight
        tomorrow
        on Monday
        on Friday
        on Sunday
        this weekend
        next week
        """,
    "daytime": """
        morning
        evening
        tonight
        later
        afternoon
        """,
    "hour": """
        #
        #pm
        #.30
        #:15
        noon
        half #
        1#:00
        """,
    "meal": """
        lunch
        dinner
        a coffee
        pizza
        a drink
        curry
        breakfast
        """,
    "food": """
        milk
        bread
        eggs
        some cheese
        onions
        tea bags
        rice
        """,
    "place": """
        work
        the pub
        school
        the station
        the library
        uni
        the gym
        the market
        mum's
        the cinema
        town
        the café
        """,
    "show": """
        the match
        that film
        the show
        the new series
        the band
        """,
    "excuse": """
        work is mad
        got a cold
        the train was cancelled
        too much homework
        the baby is up
        no money left
        been up since #
        """,
    "thing": """
        charger
        jacket
        book
        ticket
        phone
        key
        umbrella
        photo
        camera
        form
        bag
        """,
    "shop": """
        the phone shop
        ShoeBarn
        MegaMart
        Tellko
        BookNook
        the bank
        """,
    "city": """
        Leeds
        Rome
        Lagos
        Delhi
        Cork
        Malaga
        your area
        """,
    "month": """
        January
        March
        June
        summer
        October
        Xmas
        """,
    "gadget": """
        camera phone
        phone
        laptop
        watch
        """,
    "reward": """
        £#00 cash
        a £#000 prize
        a free {gadget}
        two tickets to {show}
        a holiday in {city}
        a £## voucher for {shop}
        a free weekend in {city}
        """,
    "tone": """
        ringtone
        wallpaper
        polyphonic tone
        game
        song
        logo
        """,
    "keyword": """
        WIN
        YES
        GO
        TONE
        CASH
        CHAT
        PLAY
        """,
    "mobile": """
        07### ######
        07#########
        +447#########
        """,
    "premium": """
        090########
        0871 ######
        0800 ### ####
        {mobile}
        """,
    "short": """
        8####
        6####
        """,
    "code": """
        ####
        K##
        GB####
        """,
    "link": """
        www.{site}.com
        {site}.net/##
        http://{site}.co/###
        """,
    "site": """
        fun4u
        photobox
        my-tix
        ezpay
        clubz
        trackit
        picshare
        """,
}
CHOICES = {name: lines.split("\n") for name, text in GRAMMAR.items() if (lines := text.strip())}

ABBREVIATIONS = {
    "you": "u",
    "your": "ur",
    "are": "r",
    "to": "2",
    "for": "4",
    "be": "b",
    "see": "c",
    "and": "n",
    "please": "pls",
    "thanks": "thx",
    "text": "txt",
    "tomorrow": "tmrw",
    "tonight": "2nite",
    "today": "2day",
    "great": "gr8",
    "message": "msg",
    "because": "cos",
    "the": "da",
    "love": "luv",
    "have": "hav",
}
TYPO_SHARE = 0.01  # of letters


def expand(name: str, random: Random) -> str:
    """One text that the grammar has under this name."""
    line = random.choice(CHOICES[name]).strip()
    text = re.sub(r"\{(\w+)\}", lambda slot: expand(slot[1], random), line)
    return re.sub("#", lambda _: random.choice("123456789"), text)


def typed(text: str, random: Random) -> str:
    """The text as a thumb would type it: abbreviations, typos, missing capitals and spaces."""
    if random.random() < 0.4:
        share = random.random()
        text = re.sub(
            r"\b[A-Za-z]+\b",
            lambda word: (
                ABBREVIATIONS.get(word[0].lower(), word[0]) if random.random() < share else word[0]
            ),
            text,
        )
    style = random.random()
    if style < 0.3:
        text = text.lower()
    elif style < 0.4:
        text = text.upper()
    elif style < 0.8:
        text = text[0].upper() + text[1:]
    if random.random() < 0.15:
        text = re.sub(r"([.,!?]) ", r"\1", text)
    if random.random() < 0.15:
        text = re.sub(r"[.!?]", lambda mark: mark[0] * random.choice((1, 2, 3)), text)
    # a letter too few or one twice
    return re.sub(
        "[a-z]",
        lambda letter: letter[0] * (random.choice((0, 2)) if random.random() < TYPO_SHARE else 1),
        text,
    )


def message(label: str, random: Random) -> str:
    """One message of this class, of a length within BYTES."""
    while True:
        text = typed(expand(label, random), random)
        if len(text.encode()) in BYTES:
            return text


def generate(messages: int, seed: int) -> list[tuple[str, str]]:
    """So many pairs of label (ham or spam) and text; the same for the same seed."""
    random = Random(seed)
    written: list[tuple[str, str]] = []
    for _ in range(messages):
        if written and random.random() < REPEATED_SHARE:
            written.append(random.choice(written))
        else:
            label = "spam" if random.random() < SPAM_SHARE else "ham"
            written.append((label, message(label, random)))
    return written


def main(arguments: argparse.Namespace) -> None:
    """Writes the collection."""
    pairs = generate(arguments.messages, arguments.seed)
    write_text(arguments.output, "".join(f"{label}\t{text}\n" for label, text in pairs))
    cli.log.info("%s: %s generated messages", arguments.output, len(pairs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m ablations.generate", description=__doc__)
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    cli.run(parser, main)
