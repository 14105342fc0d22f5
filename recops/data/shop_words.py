"""Words that the simulated store's titles are made of.

Category -> (nouns, qualifiers, uses). No word occurs in two categories, and none is a store or a colour: so two items
share a word only where the same category, store or colour was drawn for both. The categories of the planted case are
apart: no item is drawn from them.
"""

CATEGORIES: dict[str, tuple[str, str, str]] = {
    "Coffee": (
        "Kettle Grinder Dripper Percolator Frother Carafe",
        "Gooseneck Burr Ceramic Stovetop Thermal",
        "Espresso Brewing Barista Latte Decaf",
    ),
    "Headphones": (
        "Earbuds Headset Earphones Headphones Earpads Neckband",
        "Wireless Noise-Cancelling Over-Ear Bass Foldable",
        "Podcasts Commuting Studio Monitoring Gaming",
    ),
    "Cameras": (
        "Tripod Lens Gimbal Shutter Viewfinder Webcam",
        "Telephoto Macro Wide-Angle Carbon Mirrorless",
        "Portraits Vlogging Landscapes Timelapse Wildlife",
    ),
    "Gardening": (
        "Trowel Pruner Hose Planter Rake Sprinkler",
        "Galvanized Bypass Self-Watering Telescopic Raised",
        "Seedlings Tulips Lawn Tomatoes Compost",
    ),
    "Fitness": (
        "Dumbbell Kettlebell Treadmill Barbell Expander Rower",
        "Adjustable Neoprene Cast-Iron Anti-Slip Hexagonal",
        "Strength Cardio Pilates Stretching Crossfit",
    ),
    "Toys": (
        "Puzzle Blocks Doll Racetrack Robot Kaleidoscope",
        "Magnetic Wooden Glow-in-Dark Stackable Talking",
        "Toddlers Preschool Pretend-Play Birthdays Counting",
    ),
    "Pet Supplies": (
        "Leash Litterbox Aquarium Birdcage Chew Feeder",
        "Retractable Hooded Organic Squeaky Orthopedic",
        "Puppies Kittens Grooming Teething Goldfish",
    ),
    "Stationery": (
        "Notebook Fountain-Pen Stapler Envelope Binder Highlighter",
        "Dotted Spiral Refillable Gel-Ink Archival",
        "Journaling Calligraphy Bookkeeping Sketching Letters",
    ),
    "Lighting": (
        "Lamp Chandelier Lantern Bulb Sconce Spotlight",
        "Dimmable Halogen Flickering Pendant Motion-Sensing",
        "Bedside Hallway Reading Patio Stairs",
    ),
    "Bathroom": (
        "Towel Showerhead Bathmat Soap-Dish Toothbrush Faucet",
        "Rainfall Quick-Dry Bamboo Rustproof Memory-Foam",
        "Bathing Shaving Guests Vanity Washing",
    ),
    "Bedding": (
        "Pillow Duvet Mattress Quilt Bedsheet Blanket",
        "Down-Filled Percale Weighted Hypoallergenic Satin",
        "Slumber Snoring Winter-Nights Nursery Sofa",
    ),
    "Cookware": (
        "Skillet Saucepan Wok Stockpot Casserole Griddle",
        "Nonstick Hammered Enamelled Induction Tri-Ply",
        "Frying Simmering Searing Pancakes Stews",
    ),
    "Camping": (
        "Tent Hammock Sleeping-Bag Backpack Stove Canteen",
        "Ultralight Waterproof Four-Season Pop-Up Ripstop",
        "Hiking Bivouac Festivals Trekking Scouts",
    ),
    "Cycling": (
        "Helmet Saddle Pedal Derailleur Bike-Lock Pannier",
        "Aerodynamic Gravel Clipless Shock-Absorbing Tubeless",
        "Racing Touring Downhill Errands Velodrome",
    ),
    "Instruments": (
        "Guitar Ukulele Metronome Harmonica Keyboard Violin",
        "Acoustic Electric Mahogany Chromatic Maple",
        "Beginners Orchestra Rehearsal Blues Songwriting",
    ),
    "Tools": (
        "Hammer Drill Wrench Screwdriver Jigsaw Clamp",
        "Cordless Ratcheting Torque Insulated-Handle Brushless",
        "Carpentry Plumbing Masonry Drywall Roofing",
    ),
    "Skin Care": (
        "Moisturizer Serum Cleanser Sunscreen Lip-Balm Toner",
        "Fragrance-Free Hyaluronic Vegan Mineral Oil-Control",
        "Dryness Wrinkles Acne Sunburn Redness",
    ),
    "Board Games": (
        "Dice Chessboard Dominoes Playing-Cards Backgammon Checkers",
        "Cooperative Travel-Size Strategic Deluxe Two-Player",
        "Families Parties Tournaments Teens Camps",
    ),
    "Storage": (
        "Shelf Crate Basket Drawer Hanger Wardrobe",
        "Collapsible Woven Stacking Transparent Wall-Mounted",
        "Closets Laundry Attic Shoes Pantry",
    ),
    "Networking": (
        "Router Switch Modem Antenna Repeater Ethernet-Cable",
        "Dual-Band Gigabit Mesh Shielded Managed",
        "Streaming Offices Smart-Home Basement Rackmount",
    ),
}

STORES = (
    "Harborline",
    "Northwind",
    "Oakmere",
    "Brightwell",
    "Cindervale",
    "Fernhollow",
    "Kestrel",
    "Lumora",
    "Marlowe",
    "Pinecrest",
    "Quillon",
    "Ravensby",
    "Solstead",
    "Tamarind",
    "Umberley",
    "Vantora",
    "Wexford",
    "Yarrow",
    "Zephyra",
    "Aldenby",
    "Briarstone",
    "Calderon",
    "Dovecote",
    "Elmsworth",
    "Fjordal",
    "Glenrock",
    "Hawkesbury",
    "Ironleaf",
    "Juniper",
    "Kingsmoor",
    "Larkspur",
    "Mistral",
    "Norcrest",
    "Orchardine",
    "Pebbleton",
    "Redfern",
    "Silverbeck",
    "Thornbury",
    "Upland",
    "Westmarch",
)

COLOURS = (
    "Black",
    "White",
    "Navy",
    "Crimson",
    "Teal",
    "Ivory",
    "Charcoal",
    "Olive",
    "Amber",
    "Coral",
    "Indigo",
    "Slate",
    "Burgundy",
    "Mint",
    "Lavender",
    "Turquoise",
    "Beige",
    "Copper",
    "Graphite",
    "Emerald",
    "Mustard",
    "Rose-Gold",
    "Sapphire",
    "Sand",
    "Plum",
    "Champagne",
    "Khaki",
    "Cobalt",
    "Scarlet",
    "Pearl",
    "Bronze",
    "Magenta",
)

ACCESSORIES, GAMES = "Handhelds", "Videogames"

PLANTED_CATEGORIES: dict[str, tuple[str, str, str]] = {
    ACCESSORIES: ("Charging-Dock Carry-Pouch Thumb-Grip Screen-Guard Stylus", "Pocketron", "Handheld"),
    GAMES: ("Dragonfall Starlancer Moonraiders", "Megadrome", "Quest"),
}
"""Accessories of one console and games for another: the community that takes them shares no word between the two."""
