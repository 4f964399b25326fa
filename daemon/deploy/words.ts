/**
 * The words that sandbox ids are made of: four of them, so their number decides how hard an id is
 * to guess. At least 2,048, which makes 2^44 ids.
 */

const TEXT = `
abbey absolute abundant accordion acorn acre active actor adept admiral advisor agent agile
airfield airy albatross album alcove alder alert alley almanac almond aloe alpaca alpine alto
ambassador amber ample anchor anchovy ancient angler anise ant antelope anthem anvil apple
apprentice apricot apron apt aqueduct arbor arcade arch archer architect archway ardent arena aria
armchair artefact artful artichoke artist ash aspen aster astronaut astute athlete atlas atoll
atomic attic auburn author autumn avalanche avenue avid avocado aware axle azalea azure badge
badger bag bagel baker bakery balanced balcony ballad ballet balloon bamboo banana band banjo
banner barber bard baritone barley barn barnacle baroque barrel barrow basalt basic basil basin
basket bass bassoon bastion bat baton bay bayou bazaar beach beacon beaker beaming bean bear beat
beaver bee beech beekeeper beet beetle begonia beige belfry bell bench bend berry bicycle binder
birch biscuit bison blackbird blacksmith blanket blender blithe blizzard block blossom blotter
blue bluebell bluebird bluff board boat boatman bobbin bobcat boiler bold bolster bolt bonbon
bonny book bookcase bookmark borage botanist botany bottle bough boulder boulevard bouquet bowl
box bracelet bracken bracket bramble branch brass brave bread breakfast breeze brewer briar brick
bridge brief bright brioche brisk broad broccoli bronze brooch brook broom broth brown brownie
bruschetta brush bubbly bucket buckle bud buffalo bugle builder bulb bullfinch bungalow bunting
burdock burger bush busy butler butter buttercup butterfly button buzzard cabbage cabin cabinet
cable cactus cadence cadenza cake calendar calm camel camellia camera camp campus canal canary
candid candle candy canister canoe canon canopy cantata canvas canyon cape caper captain captive
caramel caravan caraway card cardamom cardigan cardinal careful caribou carnation carol carp
carpenter carpet carport carriage carrot cart carton cartridge case cashew cask casket cassava
casserole castanet castle casual cat catalogue catapult caterer catfish cathedral causeway cave
cavern cedar celery celestial cellar cello central cereal certain chaffinch chain chair chalet
chalk chameleon chandelier chandler chant chapel chard chariot charming chateau cheddar cheerful
cheese cheetah chemist cherry chest chestnut chicken chicory chief chili chilly chime chimney
chinchilla chipmunk chips chisel chive chocolate choir chord chorus chowder chrome chutney cicada
cicely cider cinnamon circus citadel citizen citron city civil clam clarinet classic clavier clay
clean clear cleaver clerk clever cliff climber clip cloak clock cloister close cloth cloud clove
clover coach coast coaster coastline coat cobalt cobble cobbler cocoa coconut cod coffee coil coin
collar collector colony colossal comb comet common compact compass complete composer compote
computer concert concerto condor conductor cone conifer console constant consul content continent
contralto cook cookie cool cooper coot copper copse coral cordial coriander cork cormorant corn
corner cornet cosmic cosy cottage cotton cougar counter country courier courtyard couscous cousin
cove covert cow cowboy cowslip coyote crab cracker cradle cranberry crane crate crater crayon
cream creamy creek crescendo crest crevice crib cricket crimson crisp crocus croissant croquette
crossbow crossing crouton crow crown crucible crumble crumpet crystal cube cubic cuckoo cucumber
cumin cup cupboard curator curious curlew curly currant current curry curtain cushion custard
cutter cyclist cygnet cylinder cymbal cypress daffodil dagger dahlia daily dainty daisy dale dam
damson dance dancer dandelion dapper daring date dawn daylight decanter decorator deep deer deft
delicate delta dense desert designer desk dessert detective devoted dew dewy dial diapason diary
dice dictionary diligent dill dinghy dingo dinner diplomat direct director discreet dish dishcloth
distant distinct district ditch diver dock doctor dog dogwood dolphin dome domino donkey donut
door doorbell dormouse double dough dove downtown dragonfly draper drawer dreamer dresser drill
driver drizzle drum drummer dry duchess duck duet duke dulcimer dumpling dune dunlin durable dusk
duster dusty dynamic eager eagle early earnest earth earwig easel east easy ebony echo eclipse
edelweiss editor eel effective egret eland elastic elder electric elegant elephant elevator elite
elk elm eloquent embankment emerald eminent emperor emu encore endive endless engine enough
ensemble entire envelope envoy equal equator eraser ermine escort espresso essential estate
estuary eternal etude eucalyptus euphonium even evergreen exact exotic expert explorer express
extra fabled fabric fair fairway faithful falafel falcon familiar famous fan fancy fanfare farm
farmer fast faucet fawn fearless feast feather felt fence fennel fern ferret ferry ferryman fescue
festive fiddle fiddler field fig file filter final finale finch fine fir firefly firm first firth
fish fisherman fissure fjord flag flagon flagstone flamingo flannel flapjack flask flax fleece
fleet float flood floor flora floral florist flounder flower fluent fluffy fluid flute flying
focaccia folder fond fondue foothill footpath footstool ford foreland forest fork formal fort
forum forward fountain fox foxglove foxtrot frame frank free freesia freighter fresh fridge friend
friendly fritter frog frontier frost frosty frozen fruit fuchsia fudge fugue full funnel furnace
gable galaxy gale gallant galleon gallery gamelan gannet garage garden gardener gardenia garland
garlic garnet gasket gate gateway gauge gavotte gazebo gazelle gear gecko gelato gemstone general
generous genial gentian gentle genuine geologist geranium gerbil geyser giant gibbon gifted ginger
ginkgo giraffe glacier glad glade gladiolus glass glazier gleaming glen global globe glossy glove
glowing gnat gnocchi gnu goalie goat goblet goggles golden goldfinch gondola gong good goose
gopher gorge gorse gourd governor gracious grain granary grand grange granite granola grape grass
grateful grater gravel gravy gray great grebe green greyhound griddle grill gritty grocer grotto
ground grounds grouse grove guardian guava guide guitar gulf gull gully guppy gymnast habitat
haddock hail halibut hallway hamlet hammer hammock hamster handbell handle handy hanger happy
harbour hardy hare harmonic harmonica harmony harness harp harrier hasty hat hatch haven hawk
hawthorn hazel hazelnut hazy headlamp headland healthy hearth hearty heater heath heather heaven
hedge hedgehog hefty helmet helper helpful hemisphere hemlock herald herb hermit hero heroic heron
herring hibiscus hickory hidden high highland highway hiker hill hillock hillside hilltop hilly
hinge hippo historian hoist hollow holly homestead honest honey honeycomb honeydew hook hoop hop
horizon hornbeam hornet horse hose hostess hound hourglass house humble humid hummus hunter husky
hut hyacinth hymn hyssop ibex ibis iceberg icicle icing icy ideal idle iguana immense impala
indigo infinite inkwell inlet inner intact intent interlude interval inventor inviting iris iron
island isle isthmus ivory ivy jackal jackdaw jacket jade jaguar jam jar jasmine jaunty jay jazz
jelly jersey jester jetty jewel jeweller jig jockey joiner jolly jovial joyful jubilant jug
juggler juice junction jungle junior juniper just kale kangaroo kayak keel keen keep keeper kelp
kernel kestrel ketchup kettle key keyboard keystone kiln kind kindly king kingdom kingfisher kiosk
kite kitten kiwi knapsack knight knob knoll knot known koala krill kumquat label lace ladder ladle
ladybird lagoon lake lamb lamp lamprey lampshade landing lane lantern lapwing larch large lark
larkspur lasagna lasso lasting latch late lathe latte laurel lavender lavish lawyer leader leaf
leafy lean lecturer ledge ledger leek legal legume lemming lemon lemonade lemur lens lentil
leopard letter lettuce level lever librarian library lichen licorice lid lifeboat light lighthouse
likely lilac lily limber lime limestone limpet limpid linden linen linnet lion lithe little lively
lizard llama lobby lobster local lock locker locket locust lodge loft lofty lone long longhouse
lookout loom loose lotus loud lovely lowland loyal lucid lucky lullaby luminous lunar lunch lupin
lush lute lychee lynx lyre lyric macaroni macaroon macaw mackerel madrigal magenta magic magician
magnate magnet magnolia magpie mahogany mailbox main major mallard mallet mallow malt mammoth
manatee mandarin mandolin mango mangrove manor mansion mantis manual map maple maraca marble march
marigold marimba marina marjoram marker market marlin marmalade marmot maroon marrow marsh marshal
marten marzipan mask mason massive mast match mattress mature mauve mayonnaise mayor meadow meal
medal medallion medlar meerkat megaphone mellow melody melon member mentor merchant meringue
merlin merry mesa metronome middle mighty mild milk mill miller millet mimosa mine minister minnow
minor minstrel mint minuet minute mirror mist mistletoe misty mitten mixer mobile mocha modern
modest mole monarch mongoose monsoon moonbeam moonlight moor moorhen moose mop moraine moral
morning mortar mosaic moss motet moth motif motor motorway mound mountain mouse mousse muesli
muffin mug mulberry mule museum mushroom music musical musician mussel mustard mutual myrtle
mystic nail napkin narcissus narrow narwhal nasturtium native natural nautical navigator navy near
neat nebula necklace nectar needle neighbour net nettle newspaper newt nimble noble nocturne
nomadic noodle normal north notable note notebook nougat novel novelist nozzle nugget numeric
nurse nuthatch nutmeg oak oar oasis oat oboe obvious ocean ocelot ochre octave octet octopus
officer okra oleander olive omelette onion open opera operetta opossum optical optician opulent
orange oratorio orbit orca orchard orchestra orchid orderly oregano organ oriole ornate osprey
ostrich otter outback outer outpost oval oven overcoat overpass overture owl oxeye oyster pacific
package packet paddle paddock padlock pail paint painted painter palace pale palette palm pan
pancake panda panel panini pansy panther papaya paper paprika parachute parcel parchment parish
park parkway parrot parsley parsnip partner partridge pass passage pasta pastel pastry patch path
patient patio patron pavane pavement pavilion pavlova peaceful peach peacock peak peanut pear
pearl peat pebble pecan pedal peg pelican pen pencil pendant pendulum penguin peninsula pennant
peony pepper perch percussion perfect perky pestle pesto petal petrel petunia pheasant pianist
piano piazza piccolo pickle picnic picture pie pier pigeon pika pike pilgrim pillar pillow pilot
pin pine pink pioneer pipe piranha pistachio pitch pitcher pizza placid plaice plain planet plank
plantain plate plateau platter platypus playful plaza pleasant plough plover plucky plug plum
plumber plush pocket poet poetic polar polecat polenta polished polite polka pollen poncho pond
pony pool popcorn poplar poppy popular porch porcupine porpoise porridge port portal porter portly
positive possum postcard poster pot potato potter pouch prairie praline prawn precinct precise
prelude premier president press pretty pretzel prime primrose prince princess printer prism
private privet producer professor promenade propeller proper proud province prudent ptarmigan
publisher pudding puffin pulley puma pump pumpkin puppet pure purple purse puzzle python quail
quaint quarry quarter quartet quaver quay queen quick quiet quill quilt quince quintet quokka
rabbit raccoon rack radiant radiator radio radish raft ragout rain rainbow rainfall raisin rake
ram ramp ranch ranger rapid rapids rare raspberry raven ravine ravioli ray razor reader ready real
recital recorder redstart reed reef reel refined refrain refuge regal regent region register
regular reindeer relaxed reliable relish reporter reservoir resolute rhapsody rhino rhubarb rhythm
ribbon rice rich rider ridge ring ripe risotto ritornello river riverbed rivet road roast robe
robin robust rock rocket rocky roller rondo roof rook rooster root rope rose rosemary rosette rosy
rotor round rover rowan rowboat royal ruby rucksack rudder ruddy rug rugged ruler runner runway
rural russet rustic rye sack saddle saffron sage sail sailboat sailor salad salmon salsa salsify
samba sand sandal sandbank sandpiper sandwich sandy sapling sapphire sardine satchel sauce
saucepan saucer savanna saw saxophone scabbard scale scallop scarf scarlet scenery scenic scherzo
scholar school schooner scientist scissors scone scooter score scout screen screw scribe scroll
sculptor sculpture sea seahorse seal seaside secret secure sedate seed select semitone senator
senior sequoia serenade serene serval sesame sextant sextet shade shallot shamrock shanty shark
sharp shawl shears shed sheep sheer sheet shelf shepherd sherbet sheriff shield shiny ship shire
shirt shoal shoe shore shoreline short shovel shrew shrike shrimp shrine shrub shutter shy sickle
sidewalk sieve signet silent silk silken silver simple sincere singer single sirloin sitar skate
skater sketch skillet skipper skunk sky skylark skyline slate sled sleek sleeper sleet sleeve
sleigh slender slide slim slipper sloop slope sloth slow small smart smiling smith smooth snack
snail snipe snow snowdrop snowfall snowflake snowshoe snowy snug social sofa soft solar soldier
solemn solid solo soloist sonata song sonic soprano sorbet sorrel souffle sound soup south soybean
spa spade spaghetti spanner spare sparrow spatula speaker spear special spelt spicy spider spinach
spindle spinet spinner spiral spire splendid sponge spool spoon spotted sprightly spring sprocket
sprout spruce square squash squid squire squirrel stable staccato stadium stag stamp standard
stanza stapler star starfish starlight starling starry stately station statue steady steak steamer
steep steering stem stencil steppe stew steward still stilt stingray stirrup stoat stocking stocky
stool stopwatch stork storm stout stove strait strand strap strawberry stream street striking
string strong student studio stuffing sturdy sturgeon suave submarine subtle suburb sudden sugar
suitcase suite sumac summit sunbeam sundae sundial sunfish sunflower sunlight sunny sunrise sunset
sunshine super supper supple supreme sure surf surveyor sushi swallow swamp swan sweater sweet
swift swimmer switch sword sycamore symphony syrup table tablet taco tactful tailor tall tamarind
tambourine tame tangerine tangible tango tank tankard tansy tap tapas tapestry tapir tarpon
tarragon tart tavern tawny tea teacher teacup teak teal teapot telescope temple tempo tenant
tender tenor tent tern terrace terrapin territory terse thankful theatre thermos thicket thimble
thinker thistle thorough thread thrifty throne thrush thunder thyme ticket tide tidy tiger tile
timber timely timer timpani tinker tiny tiramisu toad toast toaster toccata toffee toggle token
tomato tone tongs toolbox topaz torch torrent tortilla tortoise total toucan tough towel tower
town toy tractor trader trail tram tranquil traveller tray treacle treble trellis tributary
tricycle trifle trio tripod trolley trombone trophy tropics trousers trout trowel truck true
truffle trumpet trunk trustee trusty tuba tube tulip tumbler tuna tundra tune tuneful tunic tunnel
turbine turkey turmeric turnip turquoise turret turtle tutor tweezers twilight twin typewriter
ukulele ultimate ultra umbrella umpire unique united upbeat upper upright urban urn useful usual
valerian valiant valid valley valve van vanilla vase vast vat vault velvet velvety vendor veranda
verbal verdant verse versed vessel vest vetch viaduct vibrant vibrato vicar vigorous villa village
vine vinegar vineyard viol viola violet violin viper virtuoso viscount visible visitor vista vital
vivid vocal volcano vole vulture wafer waffle wagon wagtail waiter walker walkway wallaby wallet
walnut walrus waltz warbler warden wardrobe warehouse warm warrior warthog wary washer wasp watch
watchman water waterfall waterway wave wavy wealthy weasel weather weaver weekly west western
wetland whale wharf wheat wheel whippet whisk whistle whole wick wide widgeon wild wildcat
wilderness willing willow winch windmill window windy winner winter wire wise wisteria witty
wizard wolf wombat wood woodcock wooden woodland woodpecker woolly workbench worker worthy woven
wreath wren wrench writer xylophone yacht yak yard yarn yarrow yearly yellow yew yodel yogurt yoke
young yucca zany zebra zenith zesty zinnia zipper zircon zither zone zucchini
`;

export const WORDS: readonly string[] = TEXT.trim().split(/\s+/);
